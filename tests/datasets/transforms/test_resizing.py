"""A side of 0 pixels is refused, whichever step resizes."""

import numpy as np
import pytest
from mmcv.transforms import RandomResize as MMCVRandomResize

from mmseg_gc.datasets.transforms import (
    LoadAnnotations,
    LoadImageFromFile,
    RandomCrop,
    RandomResize,
    Resize,
    ResizeShortestEdge,
    SegRescale,
)
from mmseg_gc.datasets.transforms.resized_crop import ResizedCrop, fuse
from mmseg_gc.datasets.transforms.resizing import new_size
from mmseg_gc.errors import UserError


def strip() -> dict:
    image, label = np.zeros((2, 3000, 3), np.uint8), np.zeros((2, 3000), np.uint8)
    fields = {"gt_seg_map": label, "seg_fields": ["gt_seg_map"]}
    return {"img": image, "img_path": "strip.png", **fields}


RANDOM = {"scale": (512, 128), "ratio_range": (0.5, 0.5)}


@pytest.mark.parametrize(
    ("step", "size"),
    [
        (Resize(scale=(512, 128), keep_ratio=True), "512 x 0"),
        (Resize(scale_factor=0.2), "600 x 0"),
        (Resize(scale=(0, 4)), "0 x 4"),
        (RandomResize(**RANDOM, keep_ratio=True), "256 x 0"),
        (ResizedCrop(RandomResize(**RANDOM, keep_ratio=True), RandomCrop(8)), "256 x 0"),
        (ResizeShortestEdge(scale=4, max_size=512), "0 x 0"),
    ],
)
def test_a_strip_that_would_vanish_is_named(step, size):
    with pytest.raises(UserError, match=rf"strip\.png is 3000 x 2 pixels .* to {size}: give"):
        step(strip())


def test_a_strip_that_stays_is_resized():
    results = Resize(scale=(1500, 128), keep_ratio=True)(strip())
    assert results["img"].shape == (1, 1500, 3) and results["gt_seg_map"].shape == (1, 1500)
    assert Resize(scale=(512, 128))(strip())["img"].shape == (128, 512, 3)
    # 3000 x 2 in 1500 x 128: half of 2 is 1; the long side leads.
    assert new_size((2, 3000), (1500, 128), True, None) == (1, 1500)


def test_mmcv_s_own_class_is_fused_as_well():
    load = [LoadImageFromFile(), LoadAnnotations()]
    for kind in (RandomResize, MMCVRandomResize):
        assert isinstance(fuse([*load, kind(**RANDOM), RandomCrop(8)])[2], ResizedCrop)


def test_labels_alone_are_rescaled() -> None:
    label = np.arange(12, dtype=np.uint8).reshape(3, 4)
    results = {"img": label, "gt_seg_map": label, "seg_fields": ["gt_seg_map"]}
    SegRescale(2)(results)
    assert results["img"] is label
    np.testing.assert_array_equal(results["gt_seg_map"], label.repeat(2, 0).repeat(2, 1))
    assert SegRescale()({"gt_seg_map": label, "seg_fields": ["gt_seg_map"]})["gt_seg_map"] is label
    with pytest.raises(UserError, match="scale_factor is 0"):
        SegRescale(0)
