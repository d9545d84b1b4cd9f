import cv2
import numpy as np
import pytest

from mmseg_gc.datasets.transforms import PhotoMetricDistortion
from mmseg_gc.errors import UserError


def written_out(image: np.ndarray, draw: np.random.RandomState, d: PhotoMetricDistortion):
    """The definition in float32 on every pixel, with the draws in their order."""

    def scaled(values, alpha=1.0, beta=0.0):
        return np.clip(values.astype(np.float32) * alpha + beta, 0, 255).astype(np.uint8)

    def contrast(image):
        return scaled(image, alpha=draw.uniform(*d.contrast_range)) if draw.randint(2) else image

    if draw.randint(2):
        image = scaled(image, beta=draw.uniform(-d.brightness_delta, d.brightness_delta))
    first = draw.randint(2)
    if first:
        image = contrast(image)
    if draw.randint(2):
        hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
        hsv[..., 1] = scaled(hsv[..., 1], alpha=draw.uniform(*d.saturation_range))
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
    if draw.randint(2):
        hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
        shift = draw.randint(-d.hue_delta, d.hue_delta)
        hsv[..., 0] = (hsv[..., 0].astype(int) + shift) % 180
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
    return image if first else contrast(image)


@pytest.mark.parametrize("options", [{}, {"brightness_delta": 90, "hue_delta": 80}])
@pytest.mark.parametrize("view", [np.s_[:], np.s_[3:, 2:20], np.s_[:, ::-1]])
def test_same_pixels_as_the_definition(options, view):
    image = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    before = image.copy()
    distort = PhotoMetricDistortion(contrast_range=[0.3, 1.8], **options)
    for seed in range(40):
        np.random.seed(seed)
        expected = written_out(image[view].copy(), np.random.RandomState(seed), distort)
        assert (distort({"img": image[view]})["img"] == expected).all()
    assert (image == before).all()


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), "u1")],
)
def test_other_images_are_refused(image):
    with pytest.raises(UserError, match=r"8-bit colour images, but a\.png is"):
        PhotoMetricDistortion()({"img": image, "img_path": "a.png"})
