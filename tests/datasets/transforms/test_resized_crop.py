import random

import cv2
import numpy as np
import pytest
from mmcv.transforms import RandomFlip, RandomResize, Resize

from mmseg_gc.datasets.transforms import LoadAnnotations, LoadImageFromFile, RandomCrop
from mmseg_gc.datasets.transforms import resized_crop as module
from mmseg_gc.datasets.transforms.resized_crop import ResizedCrop, fuse, warped_window

RESIZE = dict(scale=(160, 80), ratio_range=(0.5, 2.0), keep_ratio=True)


def scene(height: int = 77, width: int = 131, seed: int = 0) -> dict:
    draw = np.random.RandomState(seed)
    image = cv2.GaussianBlur(draw.randint(0, 256, (height, width, 3)).astype(np.uint8), (3, 3), 0)
    coarse = draw.randint(0, 6, (7, 9)).astype(np.uint8)
    label = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST)
    size = image.shape[:2]
    return dict(
        img=image, gt_seg_map=label, seg_fields=["gt_seg_map"], img_shape=size, ori_shape=size
    )


def mapped(results: dict, folder) -> dict:
    path = folder / "pixels.bin"
    path.write_bytes(results["img"].tobytes())
    return {**results, "img": np.memmap(path, np.uint8, "r", shape=results["img"].shape)}


def drawn(step, results: dict, seed: int) -> dict:
    random.seed(seed)
    np.random.seed(seed)
    return {**step(dict(results)), "next": (np.random.rand(), random.random())}


@pytest.mark.parametrize(
    "resize", [RESIZE, {**RESIZE, "keep_ratio": False}, {"scale": [(60, 40), (200, 150)]}]
)
@pytest.mark.parametrize(
    "crop",
    [
        dict(crop_size=(48, 64)),
        dict(crop_size=(20, 24), cat_max_ratio=0.4),
        dict(crop_size=(300, 40)),
    ],
)
def test_equals_resize_then_crop(resize, crop, tmp_path):
    """All results and the draws after it; a mapped image is within one grey level."""
    resize, crop = RandomResize(**resize), RandomCrop(**crop)
    fused = ResizedCrop(resize, crop)
    changed = 0
    for seed in range(25):
        results = scene(seed=seed)
        expected = drawn(lambda r: crop(resize(r)), results, seed)
        for found, exact in (
            (drawn(fused, results, seed), True),
            (drawn(fused, mapped(results, tmp_path), seed), False),
        ):
            assert found.keys() == expected.keys()
            for key, value in expected.items():
                if key != "img" or exact:
                    assert np.array_equal(found[key], value), (seed, key)
            assert type(found["img"]) is np.ndarray and found["img"].flags.writeable
            assert cv2.absdiff(found["img"], np.ascontiguousarray(expected["img"])).max() <= 1
        changed += expected["img_shape"] != results["img_shape"]
    assert changed


def test_the_windows_are_distributed_as_those_of_resize_then_crop():
    """Two samples of 400 from independent seeds, by the Kolmogorov-Smirnov test."""
    from scipy.stats import ks_2samp

    resize, crop = RandomResize(**RESIZE), RandomCrop((40, 50), cat_max_ratio=0.4)
    fused, results = ResizedCrop(resize, crop), scene()
    results["img"] = np.dstack([*np.meshgrid(np.arange(131), np.arange(77)), np.zeros((77, 131))])
    results["img"] = results["img"].astype(np.uint8)  # a pixel says where it came from

    def places(step, first: int) -> np.ndarray:
        found = [drawn(step, results, first + seed) for seed in range(400)]
        return np.array(
            [[*r["img"][0, 0, :2], r["scale"][0], *r["img"][-1, -1, :2]] for r in found]
        )

    one, other = places(fused, 0), places(lambda r: crop(resize(r)), 10_000)
    for column in range(one.shape[1]):
        assert ks_2samp(one[:, column], other[:, column]).pvalue > 0.001
    # It would notice another distribution.
    strict = ResizedCrop(RandomResize(**{**RESIZE, "ratio_range": (0.5, 1.7)}), crop)
    assert ks_2samp(places(strict, 0)[:, 2], other[:, 2]).pvalue < 0.001


def test_a_mapped_image_is_read_where_the_window_lies(tmp_path):
    image = scene()["img"]
    whole = cv2.resize(image, (260, 150), interpolation=cv2.INTER_LINEAR)
    for window in ((slice(0, 40), slice(0, 50)), (slice(110, 190), slice(200, 300))):
        found = warped_window(image, (150, 260), window)
        assert cv2.absdiff(found, np.ascontiguousarray(whole[window])).max() <= 1
    image[:30] = 0
    window = (slice(100, 140), slice(10, 60))  # from rows 50 to 73
    assert (warped_window(image, (150, 260), window) == found_below(image, window)).all()


def found_below(image: np.ndarray, window) -> np.ndarray:
    other = image.copy()
    other[:30] = 255
    return warped_window(other, (150, 260), window)


def test_an_opencv_that_rounds_places_resizes_the_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_warps_precisely", lambda: False)
    resize, crop, results = RandomResize(**RESIZE), RandomCrop((48, 64)), scene()
    expected = drawn(lambda r: crop(resize(r)), results, 3)
    found = drawn(ResizedCrop(resize, crop), mapped(results, tmp_path), 3)
    assert (found["img"] == expected["img"]).all()


def test_which_pipelines_are_fused():
    load = [LoadImageFromFile(), LoadAnnotations()]
    resize, crop, flip = RandomResize(**RESIZE), RandomCrop(20), RandomFlip(prob=0.5)
    fused = fuse([*load, resize, crop, flip])
    assert [type(step) for step in fused[2:]] == [ResizedCrop, RandomFlip]

    class OwnCrop(RandomCrop):
        pass

    cubic = RandomResize(**RESIZE, interpolation="bicubic")
    for steps in (
        [*load, resize, flip, crop],
        [*load, resize, OwnCrop(20)],
        [*load, cubic, crop],
        [*load, Resize(scale=(4, 4)), crop],
        [load[0], resize, crop],
        [],
    ):
        assert fuse(steps) == steps


def test_other_fields_go_the_long_way():
    results = scene()
    results["depth"] = results["gt_seg_map"].copy()
    results["seg_fields"] = ["gt_seg_map", "depth"]
    results = drawn(
        ResizedCrop(RandomResize(scale=[(131, 77), (131, 77)]), RandomCrop(20)), results, 0
    )
    assert results["depth"].shape == (20, 20)
