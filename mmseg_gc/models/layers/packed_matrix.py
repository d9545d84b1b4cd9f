"""Matrices kept in the order that a processor multiplies in."""

import torch
from torch import Tensor

TYPICAL_ROWS = 128  # of a left operand, for which oneDNN chooses the order


class PackedMatrix:
    """A matrix (C, K) to multiply others (M, C) on a CPU by; copied and saved as it was given.

    An ordinary product puts it into oneDNN's order every time, which for few rows takes as long as
    multiplying.
    """

    def __init__(self, matrix: Tensor) -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(
            matrix.t().contiguous(), TYPICAL_ROWS
        )

    @staticmethod
    def available() -> bool:
        """Whether this build of torch has what it needs."""
        return torch.backends.mkldnn.is_available() and hasattr(
            torch.ops.mkldnn, "_reorder_linear_weight"
        )

    def __reduce__(self) -> tuple:
        return PackedMatrix, (self._weight.to_dense().t(),)

    def __call__(self, x: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, self._weight, None, "none", [], "")
