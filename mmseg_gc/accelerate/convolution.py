"""Convolution, batch norm, addition and ReLU as one operation on any device."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_gc.accelerate import cudnn
from mmseg_gc.accelerate.cpu import operators, sub_grids, winograd
from mmseg_gc.accelerate.derived import Derived, has_numbers
from mmseg_gc.accelerate.kernels import BATCH_NORMS, Kernels, folded

Weights = tuple[Tensor, Tensor | None]

# Launching the work of folding takes a GPU longer than doing it. A CPU keeps weights in sixteen
# bits that Winograd never transforms, as oneDNN reads them.
_on_gpus, _on_cpus = Derived(), Derived()


@cache
def _untraced() -> Callable[..., Tensor]:
    """Winograd's convolution for compiled networks, which call it as it is.

    Made when there is one: it imports torch's compiler, which takes 25 MiB.
    """
    return torch.compiler.disable(winograd.convolve)


def unhooked(module: nn.Module) -> bool:
    """Whether calling ``module`` does what its class says and nothing besides."""
    hooks = module._forward_hooks or module._forward_pre_hooks or module._backward_hooks
    return not (hooks or module._backward_pre_hooks or "forward" in module.__dict__)


def is_conv(module: nn.Module | None) -> TypeGuard[nn.Conv2d]:
    """Whether ``module`` is torch's own convolution, and may be computed in another way."""
    return type(module) is nn.Conv2d and module.padding_mode == "zeros" and unhooked(module)


def is_norm(module: nn.Module | None) -> bool:
    """Whether ``module`` is a batch norm that keeps to its running statistics."""
    return (
        module is not None
        and type(module) in BATCH_NORMS
        and not module.training
        and module.running_mean is not None
        and unhooked(module)
    )


def is_relu(module: nn.Module | None) -> bool:
    """Whether ``module`` is torch's own ReLU."""
    return type(module) is nn.ReLU and unhooked(module)


def takes(x: Tensor, conv: nn.Conv2d) -> bool:
    """Whether ``x`` (N, C, H, W) may go through `convolve`, which knows no gradients or casts.

    Nor does it go into graphs that are to run elsewhere: a trace or export is of plain layers.
    """
    weight = conv.weight
    learns = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    kind = x.device.type
    casts = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    return (
        not (learns or casts or torch.jit.is_tracing() or torch.compiler.is_exporting())
        and x.dim() == 4
        and x.shape[1] == conv.in_channels
        and x.dtype == weight.dtype
        and x.device == weight.device
    )


def conv_norm_act(
    x: Tensor,
    conv: nn.Module,
    norm: nn.Module | None = None,
    act: nn.Module | None = None,
    residual: Tensor | None = None,
    overwrite: bool = False,
) -> Tensor:
    """``act(norm(conv(x)) + residual)``, in one go where it can be.

    ``overwrite`` lets the result be written over ``residual``.
    """
    if not (is_conv(conv) and (norm is None or is_norm(norm)) and takes(x, conv)):
        x = conv(x)
        x = x if norm is None else norm(x)
        x = x if residual is None else x + residual
        return x if act is None else act(x)
    with_relu = is_relu(act)
    x = convolve(x, [Kernels(conv, norm)], relu=with_relu, residual=residual, overwrite=overwrite)
    return x if act is None or with_relu else act(x)


def convolve(
    x: Tensor,
    kernels: list[Kernels],
    *,
    relu: bool,
    residual: Tensor | None = None,
    overwrite: bool = False,
) -> Tensor:
    """``relu(conv2d(x) + residual)``, the outputs of all ``kernels`` side by side.

    ``overwrite`` lets the result be written over ``residual``.
    """
    conv = kernels[0].conv
    geometry: dict[str, Any] = dict(
        padding=conv.padding, stride=conv.stride, dilation=conv.dilation, groups=conv.groups
    )
    on_cpu = x.device.type == "cpu"
    filters = sum(one.count for one in kernels)
    suits = on_cpu and winograd.suits_winograd(conv)
    if suits and winograd.pays(x, conv.dilation[0], filters):
        by_winograd = _untraced() if torch.compiler.is_compiling() else winograd.convolve
        return by_winograd(
            x,
            kernels,
            dilation=conv.dilation[0],
            relu=relu,
            residual=residual,
            overwrite=overwrite,
        )
    fuses = on_cpu and x.dtype in operators.DTYPES and not isinstance(conv.padding, str)
    if fuses and operators.available():
        alone = residual is None and len(kernels) == 1
        if alone and conv.groups > 1 and sub_grids.suits_sub_grids(conv):
            weight, bias = folded(kernels)
            return sub_grids.convolve(x, weight, bias, dilation=conv.dilation[0], relu=relu)
        if residual is not None:
            residual = residual.contiguous(memory_format=torch.channels_last)
        if suits or x.dtype is torch.float32:
            weight, bias = folded(kernels)
        else:
            weight, bias = _packed(kernels, partial(operators.packed, size=x.shape, **geometry))
        return operators.convolution(
            x, weight, bias, **geometry, relu=relu, residual=residual, overwrite=overwrite
        )
    weight, bias = _folded(kernels)
    if relu and x.is_cuda and cudnn.suits(x, bias, conv.padding):
        assert bias is not None
        done = cudnn.convolve(x, weight, bias, **geometry, residual=residual)
        if done is not None:
            return done
    out = F.conv2d(x, weight, bias, **geometry)
    if residual is not None:
        out += residual
    return out.relu_() if relu else out


def _folded(kernels: list[Kernels]) -> Weights:
    """What `folded` makes; kept on a GPU."""
    if kernels[0].conv.weight.device.type != "cuda" or torch.compiler.is_compiling():
        return folded(kernels)
    return _on_gpus.get(kernels, lambda: folded(kernels))


def _packed(kernels: list[Kernels], pack: Callable[[Tensor], Tensor]) -> Weights:
    """What `folded` makes, by way of ``pack``, and kept."""
    if torch.compiler.is_compiling() or not has_numbers(kernels[0].conv.weight):
        return folded(kernels)

    def make() -> Weights:
        weight, bias = folded(kernels)
        return pack(weight), bias

    return _on_cpus.get(kernels, make)
