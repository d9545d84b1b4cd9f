import numpy as np
import pytest

from mmseg_gc.datasets.transforms import RandomMosaic
from mmseg_gc.errors import UserError


def sample(level: int, height: int = 8, width: int = 8, **more) -> dict:
    """Its pixel (y, x) is (level, y, x), and its label is ``level``."""
    image = np.full((height, width, 3), level, np.uint8)
    image[..., 1], image[..., 2] = np.arange(height)[:, None], np.arange(width)
    label = np.full((height, width), level, np.uint8)
    return {"img": image, "gt_seg_map": label, "seg_fields": ["gt_seg_map"], **more}


def mixed(*sizes: tuple[int, int], **more) -> dict:
    first, *others = (sample(10 + i, *size) for i, size in enumerate(sizes or [(8, 8)] * 4))
    return {**first, "mix_results": others, **more}


def test_four_images_meet_at_the_centre() -> None:
    """Pixel by pixel, for centres on all sides, of images that need no resizing."""
    for seed in range(10):
        np.random.seed(seed)
        draw = np.random.RandomState(seed)
        results = RandomMosaic(1.0, img_scale=(8, 8), center_ratio_range=(0.2, 1.8))(
            mixed(ignore_index=99)
        )
        draw.rand()
        x, y = (int(draw.uniform(0.2, 1.8) * 8) for _ in range(2))
        assert results["img_shape"] == results["ori_shape"] == (16, 16)
        for row in range(16):
            for column in range(16):
                # Where in its image this pixel is, counted from the corner at the centre.
                below, right = row >= y, column >= x
                inner = row - y + 8 * (not below), column - x + 8 * (not right)
                level = 10 + 2 * below + right
                inside = all(0 <= place < 8 for place in inner)
                pixel = [level, *inner] if inside else [0, 0, 0]
                assert results["img"][row, column].tolist() == pixel
                assert results["gt_seg_map"][row, column] == (level if inside else 99)


def test_images_are_fitted_and_keep_their_ratio() -> None:
    np.random.seed(0)
    options = dict(center_ratio_range=(1, 1), pad_val=7, seg_pad_val=8)
    results = RandomMosaic(1.0, img_scale=(8, 16), **options)(
        mixed((16, 16), (4, 16), (8, 2), (2, 2))
    )
    label = results["gt_seg_map"]
    assert label.shape == (16, 32)
    sizes = {10: (8, 8), 11: (4, 16), 12: (8, 2), 13: (8, 8)}
    for level, (height, width) in sizes.items():
        rows, columns = np.nonzero(label == level)
        assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (height, width)
        assert (results["img"][label == level, 0] == level).all()
    assert (results["img"][label == 8] == 7).all()


def test_without_a_mosaic_nothing_changes() -> None:
    results = mixed()
    before = results["img"]
    assert RandomMosaic(0.0)(results)["img"] is before


def test_it_draws_three_others() -> None:
    np.random.seed(3)
    found = RandomMosaic(1.0).get_indices(range(7))
    draw = np.random.RandomState(3)
    assert found == [draw.randint(0, 7) for _ in range(3)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(prob=2), "prob is 2"),
        (dict(prob=1, img_scale=(8,)), "img_scale"),
        (dict(prob=1, center_ratio_range=(0.5, 2.5)), "from 0 to 2, the ends of the canvas"),
    ],
)
def test_wrong_options(options, words) -> None:
    with pytest.raises(UserError, match=words):
        RandomMosaic(**options)


def test_wrong_use() -> None:
    with pytest.raises(UserError, match="into the pipeline of a MultiImageMixDataset"):
        RandomMosaic(0.5)(sample(1))
    results = mixed()
    results["mix_results"][1]["img"] = np.zeros((8, 8, 4), np.uint8)
    with pytest.raises(UserError, match=r"of shape \(8, 8, 4\), not as None, \(8, 8, 3\)"):
        RandomMosaic(1.0)(results)
