"""Activations and copies of weights that needn't be kept for the backward pass."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mmseg_gc.accelerate.convolution import unhooked
from mmseg_gc.accelerate.cpu import operators
from mmseg_gc.models.backbones.res_blocks import BasicBlock, Bottleneck


def norm_relu(norm: nn.Module, relu: nn.Module, x: Tensor) -> Tensor:
    """``relu(norm(x))`` of (N, C, H, W).

    In mixed precision on a CPU, and inside of `less_kept`, this output is dropped and computed once
    more in the backward pass: it follows from ``x``, which batch norm keeps anyway.
    """
    if not (
        type(norm) is nn.BatchNorm2d
        and type(relu) is nn.ReLU
        and unhooked(norm)
        and unhooked(relu)
        and norm.training
        and norm.affine
        and norm.track_running_stats
        and norm.num_batches_tracked is not None
        and norm.momentum is not None
        and x.requires_grad
        and x.device.type == "cpu"
        and torch.is_autocast_enabled("cpu")
        and torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
    ):
        return relu(norm(x))
    norm.num_batches_tracked.add_(1)
    return _NormRelu.apply(
        x, norm.weight, norm.bias, norm.running_mean, norm.running_var, norm.momentum, norm.eps
    )


class _NormRelu(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        running_mean: Tensor,
        running_var: Tensor,
        momentum: float,
        eps: float,
    ) -> Tensor:
        out, mean, invstd = torch.native_batch_norm(
            x, weight, bias, running_mean, running_var, True, momentum, eps
        )
        ctx.save_for_backward(x, weight, bias, mean, invstd)
        ctx.eps = eps
        ctx.out = None
        return out.relu_()

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        # Once: what a checkpoint holds can't be asked for again.
        x, weight, bias, mean, invstd = ctx.saved_tensors
        out = _output(x, weight, bias, ctx.eps) if ctx.out is None else ctx.out
        grad = operators.relu_backward(grad, out)
        ctx.out = None
        wanted = ctx.needs_input_grad[:3]
        grads = operators.batch_norm_backward(grad, x, weight, mean, invstd, ctx.eps, wanted)
        return *grads, None, None, None, None


def _recomputed(node: Any) -> Tensor:
    """The output of ``node`` once more, bit for bit; kept until its own backward pass."""
    if node.out is None:
        x, weight, bias, *_ = node.saved_tensors
        node.out = _output(x, weight, bias, node.eps)
    return node.out


def _output(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    # Its statistics are computed again as well: from the saved ones others would be rounded.
    out, _, _ = torch.native_batch_norm(x, weight, bias, None, None, True, 0.0, eps)
    return out.relu_()


@contextmanager
def less_kept(model: nn.Module) -> Iterator[None]:
    """Keep no outputs of norms and no cast weights of ``model``'s forward, if it was prepared."""
    if not any(isinstance(module, PREPARED) for module in model.modules()):
        yield
        return
    with torch.autograd.graph.saved_tensors_hooks(_shrink, _restore):
        yield


def _shrink(tensor: Tensor) -> Callable[[], Tensor] | Tensor:
    """How to have ``tensor`` once more, where it needn't be kept until then; or else itself."""
    node = tensor.grad_fn
    if isinstance(node, _NormRelu._backward_cls):
        return partial(_recomputed, node)
    if node is not None and node.name() == "ToCopyBackward0":
        parameter = getattr(node.next_functions[0][0], "variable", None)
        if parameter is not None:
            return partial(parameter.detach().to, tensor.dtype)
    return tensor


def _restore(saved: Callable[[], Tensor] | Tensor) -> Tensor:
    return saved if isinstance(saved, Tensor) else saved()


class RecomputingSequential(nn.Sequential):
    """A row of modules whose norms and ReLUs are `norm_relu`."""

    def forward(self, x: Tensor) -> Tensor:
        rest = list(self)
        while rest:
            module = rest.pop(0)
            if rest and isinstance(rest[0], nn.ReLU):
                x = norm_relu(module, rest.pop(0), x)
            else:
                x = module(x)
        return x


class RecomputingBasicBlock(BasicBlock):
    """The block with `norm_relu`."""

    def _branch(self, x: Tensor) -> Tensor:
        x = norm_relu(self.norm1, self.act1, self.conv1(x))
        return self.norm2(self.conv2(x))


class RecomputingBottleneck(Bottleneck):
    """The block with `norm_relu`."""

    def _branch(self, x: Tensor) -> Tensor:
        x = self._plugged(norm_relu(self.norm1, self.act1, self.conv1(x)), "after_conv1")
        if self.deformable:
            x = x.contiguous()  # mmcv's op takes no channels_last
        x = self._plugged(norm_relu(self.norm2, self.act2, self.conv2(x)), "after_conv2")
        return self._plugged(self.norm3(self.conv3(x)), "after_conv3")


RECOMPUTING = {
    nn.Sequential: RecomputingSequential,
    BasicBlock: RecomputingBasicBlock,
    Bottleneck: RecomputingBottleneck,
}
PREPARED = tuple(RECOMPUTING.values())
