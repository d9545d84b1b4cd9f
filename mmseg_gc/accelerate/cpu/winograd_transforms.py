"""Winograd's minimal filtering: the matrices Bᵀ for inputs, G for filters, Aᵀ for outputs."""

from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

# Interpolation points, beside infinity, for so many outputs in a row. Of the sets whose Bᵀ and Aᵀ
# are exact in bfloat16, these have the smallest rounding error: for 4x6 outputs 2e-6 in float32,
# 0.03 in bfloat16 of the output's norm, where a direct convolution has 0.002 in bfloat16; for 6x6,
# whose matrices are not exact, 4e-6 and 0.06.
POINTS = {
    2: (0.0, 1.0, -1.0),
    4: (0.0, 1.0, -1.0, 0.5, -2.0),
    5: (0.0, 1.0, -1.0, 0.5, -0.5, 2.0),
    6: (0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0),
}

# That a core gathers, transforms, or brings back, at once: as its cache holds, in float32. In
# sixteen bits, where all cores work on it together, more is faster.
CACHED = {4: 1 << 20, 2: 3 << 20}
# Transforming the filters takes as long as the work of so many tiles, or a little longer.
TILES_OF_FILTERS = 40


class Tile(NamedTuple):
    """So many outputs, ``rows`` by ``columns``, are computed of the inputs that they see."""

    rows: int
    columns: int

    @property
    def span(self) -> tuple[int, int]:
        """Inputs that they see."""
        return self.rows + 2, self.columns + 2

    @property
    def places(self) -> int:
        return self.span[0] * self.span[1]

    @property
    def outputs(self) -> int:
        return self.rows * self.columns

    @property
    def ones(self) -> int:
        """Where the point along both sides is 1, whose products count once in each output."""
        return self.span[1] + 1

    def counts(self, size: tuple[int, int], dilation: int) -> tuple[int, int]:
        """Tiles of each of ``dilation`` squared sub-grids of an image (h, w): down, across."""
        down, across = (-(-side // (own * dilation)) for side, own in zip(size, self, strict=True))
        return down, across


# One for bfloat16, of the smallest error: what pays by its size there is below a twentieth.
EXACT = Tile(4, 6)
TILES = [EXACT, *(Tile(rows, columns) for rows in (4, 5, 6) for columns in (4, 5, 6))]


@cache
def best_tile(size: tuple[int, int], dilation: int, num_images: int, dtype: torch.dtype) -> Tile:
    """The one with the least work on images (h, w): sub-grids of small maps are mostly rim.

    97x97 pixels with dilation 4 are sub-grids of 25x25. 4x6 outputs at a time cover 28x30 of
    them with 1,680 products, 5x5 cover all of them, and nothing else, with 1,225.
    """
    if dtype is not torch.float32:
        return EXACT

    def work(tile: Tile) -> int:
        down, across = tile.counts(size, dilation)
        return tile.places * (num_images * down * across * dilation**2 + TILES_OF_FILTERS)

    return min(TILES, key=work)


@cache
def transforms(rows: int, columns: int) -> tuple[Tensor, Tensor, Tensor]:
    """Matrices for a tile of so many outputs, and inputs that they see, all flattened, in float64.

    For 4x6 outputs the input's (48, 48), the filter's (48, 9) and the output's (24, 48).

    Source: Toom-Cook interpolation; "Fast Algorithms for Convolutional Neural Networks",
    arXiv:1509.09308, section 4.
    """
    pairs = zip(_along(rows), _along(columns), strict=True)
    of_input, of_filter, of_output = (torch.kron(down, across) for down, across in pairs)
    return of_input, of_filter, of_output


def _along(tile: int) -> tuple[Tensor, Tensor, Tensor]:
    """`transforms` along one side."""
    points = POINTS[tile]
    whole = _from_roots(points)  # coefficients from the constant up
    rows_in, rows_filter = [], []
    for point in points:
        others = [other for other in points if other != point]
        value = torch.prod(torch.tensor([point - other for other in others], dtype=torch.float64))
        rows_in.append(F.pad(_from_roots(others), (0, 1)))
        rows_filter.append(torch.tensor([1.0, point, point**2], dtype=torch.float64) / value)
    along_in = torch.stack([*rows_in, whole])  # (tile + 2, tile + 2)
    infinity = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    along_filter = torch.stack([*rows_filter, infinity])  # (tile + 2, 3)
    along_out = torch.zeros(tile, tile + 2, dtype=torch.float64)
    for power in range(tile):
        along_out[power, :-1] = torch.tensor(points, dtype=torch.float64) ** power
    along_out[-1, -1] = 1
    return along_in, along_filter, along_out


def _from_roots(roots: tuple[float, ...] | list[float]) -> Tensor:
    """Coefficients, from the constant up, of the monic polynomial with these roots."""
    coefficients = torch.ones(1, dtype=torch.float64)
    for root in roots:
        shifted = F.pad(coefficients, (1, 0))
        coefficients = shifted - root * F.pad(coefficients, (0, 1))
    return coefficients


def cached(dtype: torch.dtype) -> int:
    """Bytes that one of torch's operations makes at a time: by one core, or by all."""
    most = CACHED.get(dtype.itemsize, CACHED[4])
    return most if dtype is torch.float32 else most * torch.get_num_threads()
