import numpy as np
import pytest

from mmseg_gc.visualization.legend import GAP, ROW, SWATCH, with_legend

PALETTE = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)


def _swatch(image: np.ndarray, left: int, place: int) -> list[int]:
    """The colour in the middle of the swatch of row ``place`` of a column."""
    return image[place * ROW + GAP + SWATCH // 2, left + GAP + SWATCH // 2].tolist()


def test_colours_of_the_ids_shown_stand_beside_the_image():
    image = np.full((60, 40, 3), 7, np.uint8)
    drawn = with_legend(image, ["sky", "road"], PALETTE, [2, 0])
    assert drawn.shape[0] == 60 and np.array_equal(drawn[:, :40], image)
    assert [_swatch(drawn, 40, place) for place in (0, 1)] == [[0, 0, 255], [255, 0, 0]]
    assert (drawn[:, 40:] == 0).all(-1).any()  # names


@pytest.mark.parametrize("height,columns", [(60, 1), (30, 3)])
def test_a_low_image_has_columns(height, columns):
    image = np.zeros((height, 40, 3), np.uint8)
    wide = [with_legend(image, "abc", PALETTE, shown).shape[1] - 40 for shown in ([0], [0, 1, 2])]
    assert wide[1] == columns * wide[0]


def test_nothing_shown_needs_no_legend():
    image = np.zeros((60, 40, 3), np.uint8)
    assert with_legend(image, [], PALETTE, []) is image
