import numpy as np
import pytest

from mmseg_gc.datasets.transforms import GenerateEdge, PackSegInputs
from mmseg_gc.errors import UserError


@pytest.mark.parametrize("width", [1, 3, 4])
@pytest.mark.parametrize("ignore", [{"option": 9}, {"dataset": 9}])
def test_by_the_definition(width, ignore) -> None:
    label = np.random.RandomState(0).choice([0, 1, 9], (12, 15), p=[0.85, 0.05, 0.1])
    label = label.astype(np.uint8)
    marked = np.zeros(label.shape, bool)
    # A pixel is marked for the one above it, right of it, and both diagonals below it.
    for (y, x), own in np.ndenumerate(label):
        for dy, dx in ((-1, 0), (0, 1), (1, 1), (1, -1)):
            if 0 <= y + dy < 12 and 0 <= x + dx < 15:
                other = label[y + dy, x + dx]
                marked[y, x] |= own != other and 9 not in (own, other)
    expected, reach = np.zeros(label.shape, np.uint8), width // 2
    for y, x in np.argwhere(marked):
        # An even square reaches further up and to the left in OpenCV's dilation.
        top, left = max(y - (width - 1 - reach), 0), max(x - (width - 1 - reach), 0)
        expected[top : y + reach + 1, left : x + reach + 1] = 1
    results = {"gt_seg_map": label}
    if "dataset" in ignore:
        results["ignore_index"] = 9
    found = GenerateEdge(width, ignore.get("option"))(results)
    np.testing.assert_array_equal(found["gt_edge_map"], expected)
    assert found["gt_edge_map"].dtype == np.uint8 and found["edge_width"] == width
    packed = PackSegInputs()({**found, "img": np.zeros((12, 15, 3), np.uint8)})
    np.testing.assert_array_equal(packed["data_samples"].gt_edge_map.data[0], expected)


def test_wrong_use() -> None:
    with pytest.raises(UserError, match="put LoadAnnotations before it"):
        GenerateEdge()({})
    with pytest.raises(UserError, match="edge_width is 0"):
        GenerateEdge(0)
