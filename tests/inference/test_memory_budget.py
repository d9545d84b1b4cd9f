from collections.abc import Callable

import pytest
import torch

from mmseg_gc.errors import UserError
from mmseg_gc.inference.memory_budget import (
    CPU_BYTES,
    SCRATCH,
    image_bytes,
    images_at_once,
    images_at_once_of,
    parse_budget,
)
from mmseg_gc.registry import MODELS

SLIDE = dict(mode="slide", crop_size=(32, 32), stride=(24, 24))
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("text", "size"),
    [("2GiB", 2**31), ("1.5 mib", 3 * 2**19), ("500MB", 5 * 10**8), (123, 123)],
)
def test_amounts(text: str | int, size: int) -> None:
    assert parse_budget(text) == size


@pytest.mark.parametrize("text", ["much", "2 apples", "-1GiB", 0, "1.2.3GiB", "GiB"])
def test_what_is_no_amount(text: str | int) -> None:
    with pytest.raises(UserError, match="memory_budget=.* is no amount of memory"):
        parse_budget(text)


def test_a_budget_sets_how_many_windows_go_together(gcnet_cfg: Callable[..., dict]) -> None:
    model = MODELS.build(gcnet_cfg(test_cfg=SLIDE))
    one = image_bytes(model, (32, 32))
    model.test_cfg.memory_budget = 3 * one + 1
    assert images_at_once(model, (32, 32), CPU) == 3
    model.test_cfg.memory_budget = one - 1
    with pytest.raises(UserError, match=r"less than the \d+MiB that one window of \(32, 32\)"):
        images_at_once(model, (32, 32), CPU)


def test_a_processor_takes_several_small_images_together(gcnet_cfg: Callable[..., dict]) -> None:
    model = MODELS.build(gcnet_cfg())
    maps = image_bytes(model, (512, 512)) - SCRATCH
    assert images_at_once(model, (512, 512), CPU) == CPU_BYTES // maps
    assert images_at_once(model, (512, 256), CPU) > CPU_BYTES // maps > 1
    assert images_at_once(model, (9999, 9999), CPU) == 1


def test_a_processor_takes_two_larger_images_together(gcnet_cfg: Callable[..., dict]) -> None:
    """An image of ms+flip and its mirror image, but no two windows of 769x769 (361 MiB)."""
    model = MODELS.build(gcnet_cfg())
    model.decode_head.in_channels, model.decode_head.channels = 2048, 512
    assert [images_at_once(model, (632, width), CPU) for width in (840, 880)] == [2, 1]
    assert images_at_once(model, (769, 769), CPU) == 1
    model.compute_dtype = torch.bfloat16  # maps of half the bytes
    assert images_at_once(model, (769, 769), CPU) == 2


def test_a_budget_changes_no_label(gcnet_cfg: Callable[..., dict]) -> None:
    model = MODELS.build(gcnet_cfg(test_cfg=SLIDE)).eval()
    torch.nn.init.normal_(model.decode_head.conv_seg.weight)
    images = [torch.randint(0, 256, (3, 90, 120), dtype=torch.uint8)]

    def labels() -> torch.Tensor:
        with torch.no_grad():
            return model.test_step({"inputs": images})[0].pred_sem_seg.data

    unbounded = labels()
    assert unbounded.unique().numel() > 1
    model.test_cfg.memory_budget = "1GiB"
    assert torch.equal(labels(), unbounded)


def test_a_wrong_budget_is_said_when_the_model_is_built(gcnet_cfg: Callable[..., dict]) -> None:
    with pytest.raises(UserError, match="memory_budget='lots'"):
        MODELS.build(gcnet_cfg(test_cfg=dict(memory_budget="lots")))


def test_a_gpu_s_free_memory_is_the_driver_s_and_the_allocator_s(
    gcnet_cfg: Callable[..., dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = MODELS.build(gcnet_cfg())
    one = image_bytes(model, (32, 32))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2 * one, 99 * one))
    counted = {
        f"{kind}_bytes": {"all": {"current": count * one, "peak": 99 * one}}
        for kind, count in (("reserved", 7), ("allocated", 1))
    }
    monkeypatch.setattr(torch.cuda, "memory_stats_as_nested_dict", lambda device: counted)
    # Half of 2 + 7 - 1.
    assert images_at_once(model, (32, 32), torch.device("cuda:0")) == 4
    counted.clear()  # torch has taken nothing so far
    assert images_at_once(model, (32, 32), torch.device("cuda:0")) == 1
    at_once = images_at_once_of(model, torch.device("cuda:0"))
    monkeypatch.delattr(torch.cuda, "mem_get_info")  # it isn't asked for each size
    assert [at_once((32, 32)), at_once((32, 32))] == [1, 1]


@pytest.mark.parametrize(
    ("head", "pairs"),
    [
        (dict(type="DAHead", pam_channels=4), 64**2),
        (dict(type="DAHead", pam_channels=16), 0),  # one width: torch has a kernel
        (dict(type="NLHead"), 0),
        (dict(type="NLHead", mode="gaussian"), 64**2),
        (dict(type="NLHead", mode="concatenation"), 64**2),
        (dict(type="ISAHead", isa_channels=4, down_factor=(2, 2)), 4 * 16**2),
        (dict(type="ISAHead", isa_channels=4, down_factor=(8, 8)), 64**2),
        (dict(type="EMAHead", ema_channels=16, num_bases=4, num_stages=1), 0),
    ],
)
def test_a_matrix_of_all_positions_counts(
    gcnet_cfg: Callable[..., dict], head: dict, pairs: int
) -> None:
    """Of 64 by 64 pixels, which are 8 by 8 positions; measured are 9.6 bytes a pair."""
    cfg = gcnet_cfg()
    cfg["decode_head"].update(head, channels=16)
    model, fcn = (MODELS.build(c) for c in (cfg, gcnet_cfg()))
    fcn.decode_head.channels = 16
    assert image_bytes(model, (64, 64)) - image_bytes(fcn, (64, 64)) == 10 * pairs


def test_of_a_row_of_heads_the_largest_matrix_counts(gcnet_cfg: Callable[..., dict]) -> None:
    cfg = gcnet_cfg()
    second = dict(cfg["decode_head"], type="OCRHead", ocr_channels=4)
    first = dict(cfg["decode_head"], type="DAHead", pam_channels=2)
    cfg.update(type="CascadeEncoderDecoder", num_stages=2, decode_head=[first, second])
    assert MODELS.build(cfg).decode_head.held_numbers(64) == 64**2
