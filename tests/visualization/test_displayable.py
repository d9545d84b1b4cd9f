import numpy as np
import pytest

from mmseg_gc.visualization.displayable import displayable, is_displayable


def test_eight_bit_colour_is_only_reversed():
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert (displayable(image) == image[..., ::-1]).all()


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 2)])
def test_grey_is_repeated(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    grey = image.reshape(4, 5, -1)[..., 0]
    assert (displayable(image) == grey[..., None]).all() and displayable(image).shape[2] == 3


def test_many_channels_of_16_bits_are_cut_and_stretched():
    image = np.zeros((100, 100, 6), np.uint16)
    image[:, 50:] = 4000
    shown = displayable(image)
    assert shown.dtype == np.uint8 and shown.shape == (100, 100, 3)
    assert (shown[:, :50] == 0).all() and (shown[:, 50:] == 255).all()


def test_a_flat_image_does_not_divide_by_zero():
    assert (displayable(np.full((3, 3), 7.0)) == 0).all()


def test_the_first_three_of_ten_bands_are_blue_green_red():
    image = np.random.default_rng(0).integers(0, 256, (4, 5, 10)).astype(np.uint8)
    assert (displayable(image) == image[..., [2, 1, 0]]).all()


def test_nan_and_infinity_are_black():
    image = np.linspace(0, 1, 300, dtype=np.float32).reshape(10, 10, 3)
    image[0, 0], image[9, 9] = np.nan, np.inf
    shown = displayable(image)
    assert (shown[0, 0] == 0).all() and (shown[9, 9] == 0).all() and shown.max() == 255
    assert (displayable(np.full((2, 2), np.nan)) == 0).all()


def test_what_needs_no_change():
    assert is_displayable(np.zeros((2, 2, 3), np.uint8))
    for shape, dtype in (((2, 2), "u1"), ((2, 2, 4), "u1"), ((2, 2, 3), "f4")):
        assert not is_displayable(np.zeros(shape, dtype))
