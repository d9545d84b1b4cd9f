"""The only file that calls private operators of torch: `missing` says which of them went."""

from collections.abc import Sequence
from functools import cache, partial

import torch
from torch import Tensor

PRIVATE = (
    "mkldnn._convolution_pointwise",
    "mkldnn._convolution_pointwise_",
    "mkldnn._linear_pointwise",
    "mkldnn._reorder_convolution_weight",
    "aten.native_batch_norm_backward",
    "aten.threshold_backward",
)
DTYPES = (torch.float32, torch.bfloat16)  # of oneDNN's


@cache
def missing() -> tuple[str, ...]:
    """Names of those operators that this build of torch lacks, or calls in another way."""
    gone = [name for name in PRIVATE if not _exists(name)]
    if not gone and not torch.backends.mkldnn.is_available():
        gone = [name for name in PRIVATE if name.startswith("mkldnn.")]
    if not gone:
        ones = torch.ones(1, 1, 1, 1)
        one = (1, 1)
        convolved = partial(
            convolution, padding=(0, 0), stride=one, dilation=one, groups=1, relu=True
        )
        try:
            convolved(ones, ones, None)
            convolved(ones, packed(ones, (1, 1, 1, 1), (0, 0), one, one, 1), None)
            convolved(ones, ones, None, residual=ones)
            convolved(ones, ones, None, residual=ones.clone(), overwrite=True)
            linear(ones[0, 0], ones[0, 0])
        except (RuntimeError, TypeError):  # torch's for other arguments
            gone = [name for name in PRIVATE if name.startswith("mkldnn.")]
    return tuple(gone)


def _exists(name: str) -> bool:
    library, operator = name.split(".")
    return hasattr(getattr(torch.ops, library), operator)


def available() -> bool:
    """Whether `convolution` and `linear` can be called."""
    return not any(name.startswith("mkldnn.") for name in missing())


def convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    padding: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    relu: bool,
    residual: Tensor | None = None,
    overwrite: bool = False,
) -> Tensor:
    """``relu(conv2d(x, weight, bias) + residual)`` in one pass over the output.

    (N, C, H, W) in, (N, K, H, W) out, laid out channels last, without gradients. NaN becomes 0 by
    the ReLU. ``overwrite`` writes the result over ``residual``: fresh memory takes as long as the
    arithmetic of a 1x1 convolution.
    """
    args = (weight, bias, padding, stride, dilation, groups)
    if residual is None:
        act = "relu" if relu else "none"
        return torch.ops.mkldnn._convolution_pointwise(x, *args, act, [], "")
    unary = "relu" if relu else None
    if overwrite:
        return torch.ops.mkldnn._convolution_pointwise_.binary(
            residual, x, *args, "add", 1.0, unary, [], ""
        )
    return torch.ops.mkldnn._convolution_pointwise.binary(
        x, residual, *args, "add", 1.0, unary, [], ""
    )


def packed(
    weight: Tensor,
    size: Sequence[int],
    padding: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> Tensor:
    """Weights (K, C, h, w) as `convolution` reads them fastest for images of ``size`` (N, C, H, W).

    It takes them for other sizes too; nothing else does.
    """
    return torch.ops.mkldnn._reorder_convolution_weight(
        weight, padding, stride, dilation, groups, list(size)
    )


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """``x @ weight.T`` of (M, C) and (K, C): in float32 faster than `torch.mm` on AMD's CPUs."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")


def batch_norm_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    mean: Tensor,
    invstd: Tensor,
    eps: float,
    wanted: tuple[bool, bool, bool],
) -> tuple[Tensor | None, ...]:
    """Gradients of ``x``, ``weight`` and the bias of a batch norm that is training."""
    return torch.ops.aten.native_batch_norm_backward(
        grad, x, weight, None, None, mean, invstd, True, eps, wanted
    )


def relu_backward(grad: Tensor, out: Tensor) -> Tensor:
    """The gradient of what the ReLU with this output had as its input."""
    return torch.ops.aten.threshold_backward(grad, out, 0)
