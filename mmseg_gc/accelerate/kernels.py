"""A convolution's weights as they stand in the model, and what the batch norm behind it does."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from mmengine.model import revert_sync_batchnorm
from torch import Tensor, nn

from mmseg_gc.models.layers import AllReduceBatchNorm2d

# What mmengine makes of ``SyncBN``, as mmsegmentation's programs for one process have it.
REVERTED = type(revert_sync_batchnorm(nn.SyncBatchNorm(1)))
BATCH_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm, AllReduceBatchNorm2d, REVERTED)


@dataclass(frozen=True)
class Kernels:
    """Those of ``conv`` for the input's channels from ``first`` to ``last``, and ``norm`` after it.

    ``norm`` is a batch norm that keeps to its running statistics, or None.
    """

    conv: nn.Conv2d
    norm: Any = None  # one of `BATCH_NORMS`
    first: int = 0
    last: int | None = None
    with_bias: bool = True

    @property
    def count(self) -> int:
        return self.conv.out_channels

    def of_channels(self, channels: range, *, with_bias: bool) -> "Kernels":
        """Those of some of the input's channels, with or without a bias."""
        first = self.first + channels.start
        with_bias = with_bias and self.with_bias
        return replace(self, first=first, last=first + len(channels), with_bias=with_bias)

    @property
    def weight(self) -> Tensor:
        """(K, C, h, w), maybe a view, without the factors that it still needs."""
        return self.conv.weight[:, self.first : self.last]

    def scale_and_bias(self) -> tuple[Tensor | None, Tensor | None]:
        """Factors and biases (K,) in float32 at least; None: ones, and zeros."""
        conv, norm = self.conv, self.norm
        bias = None if conv.bias is None else _upcast(conv.bias)
        scale = None
        if norm is not None:
            scale = (_upcast(norm.running_var) + norm.eps).rsqrt()
            if norm.affine:
                scale = scale * _upcast(norm.weight)
            mean = _upcast(norm.running_mean)
            bias = -mean * scale if bias is None else (bias - mean) * scale
            if norm.affine:
                bias = bias + _upcast(norm.bias)
        return scale, bias if self.with_bias else None

    def folded(self) -> tuple[Tensor, Tensor | None]:
        """Weights and biases that need no factors any more, in the weights' dtype."""
        weight, (scale, bias) = self.weight, self.scale_and_bias()
        if scale is not None:
            weight = (weight * scale[:, None, None, None]).to(weight.dtype)
        return weight, None if bias is None else bias.to(weight.dtype)

    @property
    def eps(self) -> float | None:
        """The norm's."""
        return None if self.norm is None else self.norm.eps

    def sources(self) -> list[Tensor]:
        """All tensors that `folded` follows from, beside `eps`."""
        found = [self.conv.weight, self.conv.bias]
        if self.norm is not None:
            norm = self.norm
            found += [norm.weight, norm.bias, norm.running_mean, norm.running_var]
        return [tensor for tensor in found if tensor is not None]


def folded(kernels: list[Kernels]) -> tuple[Tensor, Tensor | None]:
    """Weights (K, C, h, w) and biases (K,) of several convolutions of one input, side by side."""
    pairs = [one.folded() for one in kernels]
    if len(pairs) == 1:
        return pairs[0]
    weight = torch.cat([weight for weight, _ in pairs])
    if all(bias is None for _, bias in pairs):
        return weight, None
    biases = [weight.new_zeros(len(w)) if bias is None else bias for w, bias in pairs]
    return weight, torch.cat(biases)


def _upcast(numbers: Tensor) -> Tensor:
    return numbers.to(torch.promote_types(numbers.dtype, torch.float32))
