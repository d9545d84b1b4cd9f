"""Images, labels and views that need no file, for this package and for mmsegmentation."""

import importlib
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from torch import Tensor

BLOCK = 16  # pixels of a side over which an image or label hardly changes, as a street's don't


def image(size: tuple[int, int], seed: int = 0) -> Tensor:
    """uint8 (3, h, w), smooth."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randint(
        0, 256, (1, 3, size[0] // BLOCK + 1, size[1] // BLOCK + 1), generator=generator
    )
    return F.interpolate(coarse.float(), size, mode="bilinear")[0].to(torch.uint8)


def label(size: tuple[int, int], num_classes: int, seed: int = 0) -> Tensor:
    """uint8 (1, h, w) of one class a block."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = (-(-side // BLOCK) for side in size)
    coarse = torch.randint(
        0, num_classes, (1, rows, columns), generator=generator, dtype=torch.uint8
    )
    whole = coarse.repeat_interleave(BLOCK, 1).repeat_interleave(BLOCK, 2)
    return whole[:, : size[0], : size[1]].contiguous()


def sample(
    size: tuple[int, int],
    *,
    package: str = "mmseg_gc",
    ori_shape: tuple[int, int] | None = None,
    truth: Tensor | None = None,
    **meta: Any,
):
    """A ``SegDataSample`` of an input of ``size``, with ``meta`` as transforms leave it."""
    made = importlib.import_module(f"{package}.structures").SegDataSample(
        metainfo=dict(
            img_path="drawn.png",
            img_shape=size,
            pad_shape=size,
            ori_shape=ori_shape or size,
            **meta,
        )
    )
    if truth is not None:
        # mmsegmentation's losses take no uint8.
        made.gt_sem_seg = PixelData(data=truth if package == "mmseg_gc" else truth.long())
    return made


def test_batch(size: tuple[int, int], *, package: str = "mmseg_gc", **of_sample: Any) -> dict:
    """One image to test on; ``of_sample`` goes to `sample`."""
    return dict(inputs=[image(size)], data_samples=[sample(size, package=package, **of_sample)])


def train_batch(
    number: int, size: tuple[int, int], num_classes: int, *, package: str = "mmseg_gc"
) -> dict:
    truths = [label(size, num_classes, seed) for seed in range(number)]
    return dict(
        inputs=[image(size, seed) for seed in range(number)],
        data_samples=[sample(size, package=package, truth=truth) for truth in truths],
    )


def views(
    size: tuple[int, int], scales: Sequence[float], *, package: str = "mmseg_gc"
) -> dict[str, list]:
    """An image of ``size`` at each of ``scales``, as it is and mirrored, as a TTA loader gives."""
    found: dict[str, list] = dict(inputs=[], data_samples=[])
    for scale in scales:
        shape = tuple(int(side * scale) for side in size)
        for flip in (False, True):
            direction = "horizontal" if flip else None
            one = sample(
                shape, package=package, ori_shape=size, flip=flip, flip_direction=direction
            )
            found["inputs"].append([image(shape).flip(2) if flip else image(shape)])
            found["data_samples"].append([one])
    return found
