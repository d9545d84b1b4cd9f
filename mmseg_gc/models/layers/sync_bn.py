"""Synchronised batch normalisation where torch's own refuses: one process, or CPU tensors."""

import torch
import torch.distributed as dist
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class _AllReduceSum(torch.autograd.Function):
    """Sum over all processes; so is its gradient, for each process's loss depends on the sum."""

    @staticmethod
    def forward(ctx, tensor: Tensor) -> Tensor:
        tensor = tensor.clone()
        dist.all_reduce(tensor)
        return tensor

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        grad = grad.clone()
        dist.all_reduce(grad)
        return grad


class AllReduceBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation of (N, C, H, W) over the batches of all processes, on any device.

    In training every process must run its forward and backward together with the others.

    Source: the semantics of ``torch.nn.SyncBatchNorm``, which takes no CPU tensors.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and dist.is_initialized() and dist.get_world_size() > 1):
            return super().forward(x)
        self._check_input_dim(x)
        # Half-precision sums over a whole batch would lose the statistics.
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        count = wide.new_tensor([x.numel() / x.shape[1]])
        total = _AllReduceSum.apply(torch.cat([wide.sum(dim=(0, 2, 3)), count]))  # (C + 1,)
        count = total[-1].detach()
        mean = total[:-1] / count  # (C,)
        # A second pass over the centred values: E[x^2] - E[x]^2 would cancel.
        centred = wide - mean[:, None, None]
        var = _AllReduceSum.apply(centred.square().sum(dim=(0, 2, 3))) / count  # (C,)
        if self.track_running_stats:
            self._track(mean.detach(), var.detach() * count / (count - 1))
        out = centred * (var + self.eps).rsqrt()[:, None, None]
        if self.affine:
            out = out * self.weight[:, None, None] + self.bias[:, None, None]
        return out.to(x.dtype)

    def _track(self, mean: Tensor, unbiased_var: Tensor) -> None:
        self.num_batches_tracked.add_(1)
        # Without a momentum, the running statistics are the plain mean over all batches.
        momentum = 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_(unbiased_var.to(self.running_var.dtype), momentum)


def adapt_sync_bn(model: nn.Module, *, device_type: str, world_size: int) -> nn.Module:
    """Make ``SyncBN`` layers work on ``device_type`` ("cpu", "cuda") with ``world_size`` processes.

    One process: they become plain ``BatchNorm2d``. Several on CPU: `AllReduceBatchNorm2d`. Several
    on another device: untouched. Parameters and buffers are handed over, so state-dict keys and
    optimizers stay valid. Call it before wrapping the model for distributed training.
    """
    if world_size == 1:
        target, where = nn.BatchNorm2d, "there is one process"
    elif device_type == "cpu":
        target, where = AllReduceBatchNorm2d, "torch's SyncBatchNorm takes no CPU tensors"
    else:
        return model
    # A norm layer that hangs in two places must stay one layer.
    replaced: dict[nn.Module, nn.Module] = {}
    for module in list(model.modules()):
        for name, child in module._modules.items():
            if _is_sync_bn(child):
                if child not in replaced:
                    replaced[child] = _handed_over(child, target)
                module._modules[name] = replaced[child]
    if _is_sync_bn(model):
        replaced[model] = model = _handed_over(model, target)
    if replaced:
        count = f"{len(replaced)} SyncBN layer{'s' if len(replaced) > 1 else ''}"
        print_log(f"{count} run as {target.__name__}: {where}.", logger="current")
    return model


def _is_sync_bn(module: nn.Module) -> bool:
    # mmcv's class exists only with its compiled ops, hence the look at the name.
    return isinstance(module, nn.SyncBatchNorm) or type(module).__name__ == "SyncBatchNorm"


def _handed_over(source: nn.Module, target: type[_BatchNorm]) -> _BatchNorm:
    layer = target(
        source.num_features,
        eps=source.eps,
        momentum=source.momentum,
        affine=source.affine,
        track_running_stats=source.track_running_stats,
    )
    layer._parameters.update(source._parameters)
    layer._buffers.update(source._buffers)
    return layer.train(source.training)
