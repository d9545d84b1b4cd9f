import numpy as np
import pytest

from mmseg_gc.datasets import BaseSegDataset
from mmseg_gc.datasets.label_rules import (
    UNKNOWN,
    checked_label_map,
    grey_levels,
    holds_grey_levels,
    map_of_grey_levels,
    require_colors,
)
from mmseg_gc.errors import UserError


def rules(**changes) -> dict:
    return {
        **dict(num_classes=3, ignore_index=255, reduce_zero_label=False, label_map=None),
        **changes,
    }


def test_ids_become_integers():
    assert checked_label_map({"7": 1.0, 8: 255}, rules()) == {7: 1, 8: 255}


@pytest.mark.parametrize("wrong", [{"road": 1}, {256: 1}, {1: -1}, [(1, 2)], {1: None}])
def test_ids_that_8_bits_do_not_hold(wrong):
    with pytest.raises(UserError, match=r"label_map is .*all from 0 to 255"):
        checked_label_map(wrong, rules())


def test_an_id_that_no_class_has():
    with pytest.raises(UserError, match=r"turns 7 into 3, but the 3 classes .* ids 0 to 2"):
        checked_label_map({7: 3}, rules())
    with pytest.raises(UserError, match="into 4 and reduce_zero_label lowers that by one"):
        checked_label_map({7: 4}, rules(reduce_zero_label=True))
    assert checked_label_map({7: 3}, rules(reduce_zero_label=True)) == {7: 3}
    assert checked_label_map({7: 9}, rules(num_classes=None)) == {7: 9}


GREYS = [((0, 0, 0), 0), ((128, 128, 128), 1), ((255, 255, 255), 2)]


def test_a_palette_of_greys():
    assert grey_levels(GREYS) == {0: 0, 128: 1, 255: 2}
    assert grey_levels([*GREYS, ((1, 2, 3), 4)]) is None
    assert grey_levels([*GREYS, ((128, 128, 128), 4)]) is None  # one colour, two classes
    assert grey_levels(None) is None


@pytest.mark.parametrize(
    ("masks", "are_levels"),
    [
        ([[0, 128]], True),
        ([[0, 255]], True),
        ([[0, 0], [128, 0]], True),  # the first that tells decides
        ([[0, 1]], False),  # 1 is an id, and no level
        ([[0, 0]], False),
        ([None, [128, 0]], True),
    ],
)
def test_levels_or_ids(masks, are_levels):
    content = {str(i): None if m is None else np.array([m], np.uint8) for i, m in enumerate(masks)}
    assert holds_grey_levels(content, content.get, {0: 0, 128: 1, 255: 2}, 3) is are_levels


def test_colours_and_16_bits_are_no_grey_levels():
    for mask in (np.full((2, 2, 3), 128, np.uint8), np.full((2, 2), 128, np.uint16)):
        assert not holds_grey_levels(["a"], lambda path, mask=mask: mask, {0: 0, 128: 1}, 2)


def test_the_map_of_levels():
    found = map_of_grey_levels({0: 0, 128: 1, 255: 2}, rules())
    assert found == {0: 0, 1: UNKNOWN, 2: UNKNOWN, 128: 1, 255: 2}
    lowered = map_of_grey_levels({0: 255, 128: 1}, rules(reduce_zero_label=True))
    assert lowered == {0: 255, 1: UNKNOWN, 2: UNKNOWN, 128: 2}


@pytest.mark.parametrize("color", ["red", [1, 2, 3, 255], [300, 0, 0], [-1, 0, 0], [0.5, 0, 0], 7])
def test_a_palette_of_no_colours_is_refused(color):
    with pytest.raises(UserError, match="for class 1: give"):
        require_colors([[0, 0, 255], color])
    require_colors(np.array([[0, 0, 255]]))
    metainfo = dict(classes=["a", "b"], palette=[[0, 0, 0], color])
    with pytest.raises(UserError, match="for class 1: give"):
        BaseSegDataset(metainfo=metainfo, lazy_init=True)
