import pytest
import torch
import torch.nn.functional as F

from mmseg_gc.accelerate.cpu.winograd_transforms import POINTS, best_tile, transforms


@pytest.mark.parametrize("rows", POINTS)
@pytest.mark.parametrize("columns", POINTS)
def test_products_between_the_matrices_are_a_convolution(rows, columns):
    """Aᵀ [(G g) * (Bᵀ d)] of one tile, beside torch's own convolution in float64."""
    draw = torch.Generator().manual_seed(rows * 10 + columns)
    tile = torch.randn(rows + 2, columns + 2, generator=draw, dtype=torch.float64)
    kernel = torch.randn(3, 3, generator=draw, dtype=torch.float64)
    of_input, of_filter, of_output = transforms(rows, columns)
    found = of_output @ ((of_filter @ kernel.flatten()) * (of_input @ tile.flatten()))
    expected = F.conv2d(tile[None, None], kernel[None, None])[0, 0]
    assert expected.shape == (rows, columns)
    torch.testing.assert_close(found.view(rows, columns), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("tile", [(2, 4), (4, 4), (2, 6), (4, 6), (5, 5), (5, 6)])
def test_matrices_of_inputs_and_outputs_are_exact_in_bfloat16(tile):
    of_input, _, of_output = transforms(*tile)
    for matrix in (of_input, of_output):
        exact = matrix.bfloat16().double() == matrix
        assert exact.all(), matrix[~exact]


@pytest.mark.parametrize(
    ("size", "dilation", "tile"),
    [((97, 97), 4, (5, 5)), ((23, 30), 4, (6, 4)), ((64, 128), 4, (4, 4)), ((97, 97), 1, (6, 6))],
)
def test_the_tile_is_that_with_the_fewest_products(size, dilation, tile):
    """Sub-grids of 25x25, 6x8, 16x32 and 97x97 pixels; counted by hand, of images in plenty."""
    assert best_tile(size, dilation, 100, torch.float32) == tile
    assert best_tile(size, dilation, 100, torch.bfloat16) == (4, 6)  # the error that is stated


def test_filters_of_larger_tiles_take_longer_to_transform():
    """5x6 outputs take the fewest products on 20x24 pixels; for one image that doesn't pay."""
    assert best_tile((20, 24), 1, 100, torch.float32) == (5, 6)
    assert best_tile((20, 24), 1, 1, torch.float32) == (4, 4)
