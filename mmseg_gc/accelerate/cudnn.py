"""Convolution, bias, addition and ReLU by one kernel of cuDNN's.

torch's own convolution adds its bias by another kernel, which reads and writes the whole map once
more, as addition and ReLU do.
"""

from collections.abc import Callable

import torch
from torch import Tensor

FUSED: Callable[..., Tensor] | None = getattr(torch, "cudnn_convolution_relu", None)
FUSED_ADD: Callable[..., Tensor] | None = getattr(torch, "cudnn_convolution_add_relu", None)
# Geometries for which cuDNN has no such kernel.
_refused: set[tuple] = set()


def suits(x: Tensor, bias: Tensor | None, padding: tuple[int, ...] | str) -> bool:
    """Whether `convolve` may be asked: in half precision, on a GPU, for a convolution with a bias.

    In float32 the kernels are of another arithmetic than those of torch's convolution.
    """
    return (
        x.dtype in (torch.float16, torch.bfloat16)
        and bias is not None
        and not isinstance(padding, str)
        and x.numel() > 0
        and FUSED is not None
        and FUSED_ADD is not None
        and torch.backends.cudnn.enabled
        and torch.backends.cudnn.is_available()
        and not torch.compiler.is_compiling()  # Inductor has kernels of its own
    )


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    padding: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    residual: Tensor | None = None,
) -> Tensor | None:
    """``relu(conv2d(x) + residual)`` (N, K, H, W); None where cuDNN has no kernel for that.

    Raises: torch.OutOfMemoryError.
    """
    assert FUSED is not None and FUSED_ADD is not None
    key = (x.dtype, tuple(weight.shape), padding, stride, dilation, groups, residual is None)
    if key in _refused:
        return None
    where = stride, padding, dilation, groups
    try:
        if residual is None:
            return FUSED(x, weight, bias, *where)
        residual = residual.contiguous(memory_format=torch.channels_last)
        return FUSED_ADD(x, weight, residual, 1.0, bias, *where)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:
        _refused.add(key)
        return None
