"""Batch norm and ReLU whose output needn't be kept for the backward pass."""

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def norm_relu(norm: nn.Module, relu: nn.Module, x: Tensor) -> Tensor:
    """``relu(norm(x))`` of (N, C, H, W).

    In mixed precision on a CPU whoever saves this output may ask `can_recompute`, drop it, and have
    it back by `recompute`: it follows from ``x``, which batch norm keeps anyway.
    """
    if not (
        type(norm) is nn.BatchNorm2d
        and isinstance(relu, nn.ReLU)
        and norm.training
        and norm.affine
        and norm.track_running_stats
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
        x, weight, _, mean, invstd = ctx.saved_tensors
        grad = torch.ops.aten.threshold_backward(grad, recompute(ctx), 0)
        ctx.out = None
        grads = torch.ops.aten.native_batch_norm_backward(
            grad, x, weight, None, None, mean, invstd, True, ctx.eps, ctx.needs_input_grad[:3]
        )
        return *grads, None, None, None, None


def can_recompute(node: object) -> bool:
    """Whether ``node``, the ``grad_fn`` of a tensor, is one of `norm_relu`."""
    return isinstance(node, _NormRelu._backward_cls)


def recompute(node: object) -> Tensor:
    """The output of ``node`` once more, bit for bit; kept until its own backward pass."""
    if node.out is None:
        x, weight, bias, *_ = node.saved_tensors
        # Its statistics are computed again as well: from the saved ones others would be rounded.
        out, _, _ = torch.native_batch_norm(x, weight, bias, None, None, True, 0.0, node.eps)
        node.out = out.relu_()
    return node.out
