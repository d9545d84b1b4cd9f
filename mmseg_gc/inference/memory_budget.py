"""How much of the work to do at once, given a bound on memory."""

from collections.abc import Callable
from typing import Any, Protocol

import humanfriendly
import torch

from mmseg_gc.errors import UserError
from mmseg_gc.inference.label_maps import Size

STEM_NUMBERS = 64  # a pixel of the image, held while the stem of a ResNetV1c works
SCRATCH = 256 << 20  # bytes that convolutions work in, whatever the image
MATRIX_BYTES = 10  # a pair of positions; measured 9.6 of 4096 positions
# Bytes of maps that a processor holds for several small images at a time, and times as many for two
# larger ones. It gains nothing from more but that filters, where they are transformed at each call,
# are transformed once for all.
CPU_BYTES = 192 << 20
FOR_TWO = 1.75


class Budgeted(Protocol):
    """What is asked of a segmentor here."""

    decode_head: Any
    test_cfg: Any
    compute_dtype: torch.dtype | None

    @property
    def memory_budget(self) -> int | None: ...


def parse_budget(budget: int | str) -> int:
    """Bytes of ``2147483648``, ``"2GiB"`` or ``"500 MB"``.

    Raises: UserError for anything else.
    """
    try:
        number = humanfriendly.parse_size(str(budget))
    except humanfriendly.InvalidSize:
        number = 0
    if number < 1:
        raise UserError(
            f'test_cfg.memory_budget={budget!r} is no amount of memory; write it like "2GiB".'
        )
    return number


def images_at_once(
    model: Budgeted, size: Size, device: torch.device, free: int | None = None
) -> int:
    """How many images or windows of ``size`` pixels (h, w) go through ``model`` together.

    ``free`` is what `free_bytes` said of a GPU just now; it is asked otherwise.

    Raises: UserError if the model's ``memory_budget`` is too small for one.
    """
    need = image_bytes(model, size)
    if model.memory_budget is not None:
        if need > model.memory_budget:
            raise UserError(
                f"test_cfg.memory_budget={model.test_cfg.memory_budget} is less than the "
                f"{need / 2**20:.0f}MiB that one window of {size} takes; raise it, or make "
                f"crop_size smaller."
            )
        limit = model.memory_budget
    elif device.type == "cuda":
        limit = (free_bytes(device) if free is None else free) // 2
    else:
        own = need - SCRATCH
        two = 2 * own <= FOR_TWO * CPU_BYTES
        return max(2 if two else 1, CPU_BYTES // own)
    return max(1, limit // need)


def images_at_once_of(model: Budgeted, device: torch.device) -> Callable[[Size], int]:
    """`images_at_once` by size, for the sizes of one batch.

    A GPU is asked once what is free, since its driver takes its time to answer.
    """
    free = free_bytes(device) if device.type == "cuda" else None
    return lambda size: images_at_once(model, size, device, free)


def free_bytes(device: torch.device) -> int:
    """What can still be had of a GPU: the driver's free memory and torch's own free blocks."""
    # Not `torch.cuda.memory_reserved`, which sorts all that torch counts, each time it is asked.
    counted = torch.cuda.memory_stats_as_nested_dict(device)
    reserved, used = (
        counted.get(f"{kind}_bytes", {}).get("all", {}).get("current", 0)
        for kind in ("reserved", "allocated")
    )
    return torch.cuda.mem_get_info(device)[0] + reserved - used


def image_bytes(model: Budgeted, size: Size) -> int:
    """Bytes that a forward of one image of ``size`` pixels (h, w) takes at most, measured apart.

    Most is held where the head's first convolution reads a padded copy of the last feature map, of
    an eighth of the image's size, or in the stem of a small network. Attention whose matrix torch
    has to hold takes more: the head's ``held_numbers``.
    """
    head = model.decode_head
    width = getattr(head, "in_channels", 0)
    width = width if isinstance(width, int) else sum(width)
    numbers = max(STEM_NUMBERS, (2 * width + 2 * getattr(head, "channels", 0)) / 64)
    # At 1/8 of the image's size; of a matrix, scores and shares live at once, in float32.
    held = getattr(head, "held_numbers", lambda positions: 0)(size[0] * size[1] // 64)
    element = (model.compute_dtype or torch.float32).itemsize
    return int(numbers * element * size[0] * size[1] + MATRIX_BYTES * held) + SCRATCH
