"""Winograd's minimal filtering: the matrices Bᵀ for inputs, G for filters, Aᵀ for outputs."""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

# Interpolation points, beside infinity, for so many outputs in a row. Of the sets whose Bᵀ and Aᵀ
# are exact in bfloat16, these have the smallest rounding error: for 4x6 outputs 2e-6 in float32,
# 0.03 in bfloat16 of the output's norm, where a direct convolution has 0.002 in bfloat16.
POINTS = {
    2: (0.0, 1.0, -1.0),
    4: (0.0, 1.0, -1.0, 0.5, -2.0),
    6: (0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0),
}


@cache
def transforms(rows: int, columns: int) -> tuple[Tensor, Tensor, Tensor]:
    """Matrices for a tile of so many outputs, and inputs that they see, all flattened, in float64.

    For 4x6 outputs the input's (48, 48), the filter's (48, 9) and the output's (24, 48).

    Source: Toom-Cook interpolation; "Fast Algorithms for Convolutional Neural Networks",
    arXiv:1509.09308, section 4.
    """
    sides = zip(_along(rows), _along(columns), strict=True)
    return tuple(torch.kron(down, across) for down, across in sides)


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
