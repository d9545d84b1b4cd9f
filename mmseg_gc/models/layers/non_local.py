"""Non-local blocks: every position gathers from all others."""

import torch.nn.functional as F
from mmcv.cnn import NonLocal2d as MMCVNonLocal2d
from torch import Tensor, nn

from mmseg_gc.models.layers.attention import as_rows, attend


class NonLocal2d(MMCVNonLocal2d):
    """mmcv's block, whose keys and initial weights these are; a softmax needs no pairwise map here.

    (N, C, H, W) in, the same shape out.

    Source: "Non-local Neural Networks", arXiv:1711.07971, section 3.
    """

    temperature = 1.0
    attend = staticmethod(attend)

    def held_numbers(self, positions: int) -> int:
        """Of the matrix of all pairs, which modes without a kernel of torch's hold."""
        return 0 if self.mode == "embedded_gaussian" else positions**2

    def forward(self, x: Tensor) -> Tensor:
        if self.mode != "embedded_gaussian":
            return super().forward(x)
        gathered = self._pairwise(as_rows(self.theta(x)), as_rows(self.phi(x)), as_rows(self.g(x)))
        return x + self.conv_out(_as_map(gathered, x))

    def concatenation(self, theta_x: Tensor, phi_x: Tensor) -> Tensor:
        """Weights (N, P, Q) of (N, C, P, 1) and (N, C, 1, Q).

        A projection of two rows put together is the sum of two projections. mmcv's divides in
        place what the ReLU needs to learn.
        """
        halves = self.concat_project.conv.weight.chunk(2, dim=1)
        of_theta, of_phi = (
            F.conv2d(x, half) for x, half in zip((theta_x, phi_x), halves, strict=True)
        )
        return (of_theta + of_phi).relu().squeeze(1) / phi_x.shape[3]

    def _pairwise(self, theta: Tensor, phi: Tensor, g: Tensor) -> Tensor:
        """Rows (N, H*W, C) gathered by the likeness of ``theta`` and ``phi``."""
        scale = theta.shape[-1] ** -0.5 if self.use_scale else 1.0
        return self.attend(theta, phi, g, scale / self.temperature)


class DisentangledNonLocal2d(NonLocal2d):
    """A whitened pairwise term, and a unary one that is the same for all positions.

    ``temperature`` is that of the mode "embedded_gaussian". mmseg's block takes the mean off its
    own input in the mode "gaussian"; this one's input stays.

    Source: "Disentangled Non-Local Neural Networks", arXiv:2006.06668, section 4.
    """

    def __init__(self, *, temperature: float, **options: object) -> None:
        super().__init__(**options)
        self.temperature = temperature
        self.conv_mask = nn.Conv2d(self.in_channels, 1, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        g = as_rows(self.g(x))  # (N, H*W, C)
        compared = (x, x) if self.mode == "gaussian" else (self.theta(x), self.phi(x))
        rows = [as_rows(one) for one in compared]
        theta, phi = (one - one.mean(dim=1, keepdim=True) for one in rows)
        mask = self.conv_mask(x).flatten(2).softmax(dim=2)  # (N, 1, H*W)
        gathered = self._gathered(theta, phi, g) + mask @ g  # (N, H*W, C)
        return x + self.conv_out(_as_map(gathered, x))

    def _gathered(self, theta: Tensor, phi: Tensor, g: Tensor) -> Tensor:
        """Rows (N, H*W, C) by the likeness of ``theta`` and ``phi`` as ``mode`` has it."""
        if self.mode == "embedded_gaussian":
            return self._pairwise(theta, phi, g)
        if self.mode == "gaussian":
            return self.attend(theta, phi, g)
        if self.mode == "dot_product":
            return theta @ (phi.transpose(1, 2) @ g) / phi.shape[1]
        columns = theta.transpose(1, 2).unsqueeze(3), phi.transpose(1, 2).unsqueeze(2)
        return self.concatenation(*columns) @ g


def _as_map(rows: Tensor, like: Tensor) -> Tensor:
    """Rows (N, H*W, C) as a map (N, C, H, W) of the size of ``like``."""
    return rows.transpose(1, 2).unflatten(2, like.shape[2:])
