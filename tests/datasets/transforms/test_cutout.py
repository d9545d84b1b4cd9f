import numpy as np
import pytest

from mmseg_gc.datasets.transforms import RandomCutOut
from mmseg_gc.errors import UserError

SHAPES, RATIOS = [(5, 3), (9, 40)], [(0.5, 0.25), (0.1, 1.0)]


@pytest.mark.parametrize(
    ("options", "regions", "holes"),
    [
        (dict(cutout_shape=(5, 3), n_holes=2), SHAPES[:1], (2, 2)),
        (dict(cutout_shape=SHAPES, n_holes=(1, 4)), SHAPES, (1, 4)),
        (dict(cutout_ratio=RATIOS, n_holes=(0, 2), seg_fill_in=9), RATIOS, (0, 2)),
        (dict(cutout_ratio=RATIOS[0], n_holes=1, seg_fill_in=255), RATIOS[:1], (1, 1)),
    ],
)
def test_draws_in_mmseg_s_order(options, regions, holes) -> None:
    transform = RandomCutOut(prob=0.7, fill_in=(1, 2, 3), **options)
    changed = 0
    for seed in range(20):
        image, label = np.full((20, 30, 3), 77, np.uint8), np.full((20, 30), 4, np.uint8)
        results = {"img": image, "gt_seg_map": label, "seg_fields": ["gt_seg_map"]}
        np.random.seed(seed)
        found = transform(results)
        draw = np.random.RandomState(seed)
        expected, expected_label = image.copy(), label.copy()
        if draw.rand() < 0.7:
            changed += 1
            for _ in range(draw.randint(holes[0], holes[1] + 1)):
                x, y = draw.randint(0, 30), draw.randint(0, 20)
                w, h = regions[draw.randint(0, len(regions))]
                if "cutout_ratio" in options:
                    w, h = int(w * 30), int(h * 20)
                expected[y : y + h, x : x + w] = (1, 2, 3)
                if "seg_fill_in" in options:
                    expected_label[y : y + h, x : x + w] = options["seg_fill_in"]
        np.testing.assert_array_equal(found["img"], expected)
        np.testing.assert_array_equal(found["gt_seg_map"], expected_label)
        assert (image == 77).all() and (label == 4).all()  # what it was handed is as it was
        assert np.random.rand() == draw.rand()
    assert 0 < changed < 20


def test_grey_images() -> None:
    transform = RandomCutOut(prob=1, n_holes=1, cutout_ratio=(1, 1), fill_in=(9,))
    assert (transform({"img": np.zeros((4, 4), np.uint8)})["img"] == 9).any()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(prob=2, n_holes=1, cutout_shape=(1, 1)), "prob is 2"),
        (dict(prob=1, n_holes=1), "give one of both"),
        (dict(prob=1, n_holes=1, cutout_shape=(1, 1), cutout_ratio=(1, 1)), "give one of both"),
        (dict(prob=1, n_holes=(3, 1), cutout_shape=(1, 1)), r"n_holes is \(3, 1\)"),
        (dict(prob=1, n_holes=1, cutout_shape=[(1, 1, 1)]), "give .w, h., or a list"),
        (dict(prob=1, n_holes=1, cutout_shape=(1, 1), seg_fill_in=256), "seg_fill_in is 256"),
    ],
)
def test_wrong_options(options, words) -> None:
    with pytest.raises(UserError, match=words):
        RandomCutOut(**options)
