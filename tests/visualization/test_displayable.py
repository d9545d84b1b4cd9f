import numpy as np
import pytest

from mmseg_gc.visualization.displayable import displayable


def test_eight_bit_colour_is_only_reversed():
    picture = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert (displayable(picture) == picture[..., ::-1]).all()


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 2)])
def test_grey_is_repeated(shape):
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    grey = picture.reshape(4, 5, -1)[..., 0]
    assert (displayable(picture) == grey[..., None]).all() and displayable(picture).shape[2] == 3


def test_many_channels_of_16_bits_are_cut_and_stretched():
    picture = np.zeros((100, 100, 6), np.uint16)
    picture[:, 50:] = 4000
    shown = displayable(picture)
    assert shown.dtype == np.uint8 and shown.shape == (100, 100, 3)
    assert (shown[:, :50] == 0).all() and (shown[:, 50:] == 255).all()


def test_a_flat_picture_does_not_divide_by_zero():
    assert (displayable(np.full((3, 3), 7.0)) == 0).all()
