import numpy as np
import pytest

from mmseg_gc.datasets.transforms.labels import (
    colors_to_ids,
    count_ids,
    id_table,
)
from mmseg_gc.structures import all_ids_known


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_count_ids(dtype):
    counts = count_ids(np.array([[0, 3, 3], [255, 0, 3]], dtype)[:, 1:])
    assert counts.dtype == np.int64
    assert {i: n for i, n in enumerate(counts.tolist()) if n} == {0: 1, 3: 3}


@pytest.mark.parametrize(
    ("ids", "ignore_index", "known"),
    [
        ([0, 1, 2], 255, True),
        ([0, 2, 255], 255, True),
        ([0, 3], 255, False),
        ([254, 255], 255, False),
        ([0, 255], 11, False),
        ([0, 11], 11, True),
        ([0, 2], 0, True),
        ([0, 3], 0, False),
    ],
)
def test_all_ids_known_of_three_classes(ids, ignore_index, known):
    assert all_ids_known(np.array([ids], np.uint8), 3, ignore_index) is known


def test_id_table():
    assert (id_table(False, None, 255) == np.arange(256)).all()
    assert id_table(True, None, 255)[[0, 1, 150, 254, 255]].tolist() == [255, 0, 149, 253, 255]
    assert id_table(True, None, 200)[[0, 255]].tolist() == [200, 200]
    assert id_table(False, {0: 1, 1: 0, 2: 255}, 255)[[0, 1, 2, 3]].tolist() == [1, 0, 255, 3]
    # The map holds for the ids after the reduction.
    assert id_table(True, {0: 5, 1: 255}, 255)[[0, 1, 2, 3]].tolist() == [255, 5, 255, 2]


def test_colors_to_ids_against_a_loop():
    rng = np.random.default_rng(0)
    colors = [([200, 0, 7], 4), ([0, 0, 0], 255), ([7, 0, 200], 0), ([255, 255, 255], 1)]
    choice = rng.integers(0, 4, (5, 7)).repeat(3, axis=1)
    mask = np.array([color[::-1] for color, _ in colors], np.uint8)[choice]
    label, unknown = colors_to_ids(mask, colors)
    expected = [[colors[place][1] for place in row] for row in choice]
    assert label.tolist() == expected and label.dtype == np.uint8 and unknown == []
    mask[2, 3], mask[4, 20] = (3, 2, 1), (6, 5, 4)
    assert colors_to_ids(mask, colors)[1] == [(1, 2, 3), (4, 5, 6)]
