import cv2
import numpy as np
import pytest

from mmseg_gc.datasets.transforms import CLAHE, AdjustGamma, Rerange, RGB2Gray
from mmseg_gc.errors import UserError


@pytest.fixture
def image() -> np.ndarray:
    return np.random.RandomState(0).randint(0, 256, (30, 42, 3)).astype(np.uint8)


def test_clahe_takes_each_channel_alone(image) -> None:
    before = image.copy()
    found = CLAHE(clip_limit=2.0, tile_grid_size=(2, 3))({"img": image})["img"]
    clahe = cv2.createCLAHE(2.0, (2, 3))
    for channel in range(3):
        np.testing.assert_array_equal(found[..., channel], clahe.apply(image[..., channel].copy()))
    np.testing.assert_array_equal(CLAHE(2.0, [2, 3])({"img": image[..., 1]})["img"], found[..., 1])
    np.testing.assert_array_equal(image, before)


def test_clahe_without_a_limit_equalises_the_histogram() -> None:
    """Two levels of equal count in one tile become half and full brightness."""
    image = np.repeat(np.array([[10], [20]], np.uint8), 16, axis=0).repeat(32, axis=1)
    found = CLAHE(clip_limit=0, tile_grid_size=(1, 1))({"img": image})["img"]
    assert found[0, 0] == 128 and found[-1, -1] == 255


def test_gamma(image) -> None:
    found = AdjustGamma(gamma=2.2)({"img": image})["img"]
    expected = np.floor((image / 255) ** (1 / 2.2) * 255 + 1e-9).astype(np.uint8)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(AdjustGamma()({"img": image[..., :1]})["img"], image[..., :1])


@pytest.mark.parametrize("out_channels", [None, 1, 4])
def test_grey(out_channels, image) -> None:
    weights = (0.2, 0.3, 0.5)
    results = RGB2Gray(out_channels, weights)({"img": image})
    grey = sum(weight * image[..., i] for i, weight in enumerate(weights))
    assert results["img"].shape == (30, 42, out_channels or 3) and results["img_shape"] == (30, 42)
    assert results["img"].dtype == np.float32
    for channel in range(out_channels or 3):
        np.testing.assert_allclose(results["img"][..., channel], grey, rtol=1e-6)


def test_rerange(image) -> None:
    image = image // 2 + 10
    found = Rerange(-1, 3.0)({"img": image})["img"]
    low, high = image.min(), image.max()
    expected = (image.astype(float) - low) / (int(high) - int(low)) * 4 - 1
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.dtype == np.float32
    assert (Rerange(5, 6)({"img": np.full((2, 2, 3), 77, np.uint8)})["img"] == 5).all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: CLAHE(tile_grid_size=(8,)), "tile_grid_size"),
        (lambda: AdjustGamma(0), "gamma is 0: give a number above 0"),
        (lambda: Rerange(1, 1), "give a larger max_value"),
        (lambda: RGB2Gray(0), "out_channels is 0"),
        (lambda: RGB2Gray()({"img": np.zeros((2, 2)), "img_path": "a.png"}), "a.png is of shape"),
        (
            lambda: AdjustGamma()({"img": np.zeros((2, 2), np.float32), "img_path": "a.png"}),
            "AdjustGamma needs images of 8 bits, but a.png is float32: put it before",
        ),
        (lambda: CLAHE()({"img": np.zeros((2, 2), np.uint16)}), "CLAHE needs images of 8 bits"),
    ],
)
def test_wrong_use(make, words) -> None:
    with pytest.raises(UserError, match=words):
        make()
