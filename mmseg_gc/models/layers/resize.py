"""Interpolation of feature maps and logits."""

import warnings
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def resize(
    input: Tensor,
    size: Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    warning: bool = True,
) -> Tensor:
    """Interpolate (N, C, H, W) to ``size`` (h, w) or by ``scale_factor``.

    ``warning`` speaks up when ``align_corners=True`` cannot align: it does so only from ``n + 1``
    to ``k * n + 1`` pixels, such as 97 to 769.
    """
    if torch.compiler.is_exporting() or torch.jit.is_tracing():
        # Sizes are symbols: asked for their numbers, they would be those of one image for ever.
        return F.interpolate(input, size, scale_factor, mode, align_corners)
    if size is not None:
        size = tuple(int(length) for length in size)
        if size == tuple(input.shape[2:]) and mode == "bilinear":
            return input  # The very same numbers, without the copy.
        if warning and align_corners and not _aligns(tuple(input.shape[2:]), size):
            warnings.warn(
                f"align_corners=True does not align {tuple(input.shape[2:])} with {size}; use "
                f"sizes n + 1 and k * n + 1.",
                stacklevel=2,
            )
    return F.interpolate(input, size, scale_factor, mode, align_corners)


class Upsample(nn.Module):
    """`resize` as a layer; a ``scale_factor`` is rounded down to whole pixels.

    Source: ``mmseg.models.utils.Upsample``.
    """

    def __init__(
        self,
        size: Sequence[int] | None = None,
        scale_factor: float | Sequence[float] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
    ) -> None:
        super().__init__()
        self.size = size
        self.scale_factor = scale_factor
        self.mode = mode
        self.align_corners = align_corners

    def forward(self, x: Tensor) -> Tensor:
        size = self.size
        if size is None and self.scale_factor is not None:
            factors = self.scale_factor
            pair = (factors, factors) if isinstance(factors, int | float) else factors
            size = [int(side * f) for side, f in zip(x.shape[-2:], pair, strict=True)]
        return resize(x, size, None, self.mode, self.align_corners)


def _aligns(source: tuple[int, ...], target: tuple[int, ...]) -> bool:
    pairs = [(s, t) for s, t in zip(source, target, strict=True) if s > 1 and t > s]
    return all((t - 1) % (s - 1) == 0 for s, t in pairs)
