import cv2
import numpy as np
import pytest

from mmseg_gc.datasets.transforms import RandomRotFlip
from mmseg_gc.errors import UserError


def sample() -> dict:
    draw = np.random.RandomState(1)
    image = draw.randint(1, 256, (20, 30, 3)).astype(np.uint8)
    label = (np.indices((20, 30)).sum(0) // 10 % 2 * 6 + 1).astype(np.uint8)  # 1 and 7
    return {"img": image, "gt_seg_map": label, "seg_fields": ["gt_seg_map"]}


@pytest.mark.parametrize("degree", [15, (-5, 40)])
def test_draws_in_mmseg_s_order(degree) -> None:
    transform = RandomRotFlip(rotate_prob=0.4, flip_prob=0.6, degree=degree)
    low, high = (-15, 15) if degree == 15 else degree
    done = set()
    for seed in range(30):
        np.random.seed(seed)
        draw = np.random.RandomState(seed)
        results, before = transform(sample()), sample()
        image, label = before["img"], before["gt_seg_map"]
        rotates = draw.random_sample() < 0.4
        if rotates:
            angle = draw.uniform(low, high)
            turn = cv2.getRotationMatrix2D((14.5, 9.5), -angle, 1)
            image = cv2.warpAffine(image, turn, (30, 20), flags=cv2.INTER_LINEAR)
            label = cv2.warpAffine(label, turn, (30, 20), flags=cv2.INTER_NEAREST)
        flips = draw.random_sample() < 0.6 and not rotates
        if flips:
            quarters, axis = draw.randint(0, 4), draw.randint(0, 2)
            image = np.flip(np.rot90(image, quarters), axis)
            label = np.flip(np.rot90(label, quarters), axis)
            assert results["img_shape"] == image.shape[:2]
        np.testing.assert_array_equal(results["img"], image)
        np.testing.assert_array_equal(results["gt_seg_map"], label)
        assert set(np.unique(results["gt_seg_map"])) <= {0, 1, 7}  # no class in between
        assert np.random.rand() == draw.rand()
        done.add((bool(rotates), bool(flips)))
    assert done == {(True, False), (False, True), (False, False)}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(rotate_prob=2), "rotate_prob=2 and flip_prob=0.5"),
        (dict(degree=0), "degree is 0: give a number above 0"),
    ],
)
def test_wrong_options(options, words) -> None:
    with pytest.raises(UserError, match=words):
        RandomRotFlip(**options)
