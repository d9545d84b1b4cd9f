"""Synchronised batch normalisation of CPU tensors, which torch's own refuses."""

import torch
import torch.distributed as dist
from torch import Tensor, nn


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
        upcast = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        count = upcast.new_tensor([x.numel() / x.shape[1]])
        total = _AllReduceSum.apply(torch.cat([upcast.sum(dim=(0, 2, 3)), count]))  # (C + 1,)
        count = total[-1].detach()
        mean = total[:-1] / count  # (C,)
        # A second pass over the centred values: E[x^2] - E[x]^2 would cancel.
        centred = upcast - mean[:, None, None]
        var = _AllReduceSum.apply(centred.square().sum(dim=(0, 2, 3))) / count  # (C,)
        if self.track_running_stats:
            self._track(mean.detach(), var.detach() * count / (count - 1))
        out = centred * (var + self.eps).rsqrt()[:, None, None]
        if self.affine:
            out = out * self.weight[:, None, None] + self.bias[:, None, None]
        return out.to(x.dtype)

    def _track(self, mean: Tensor, unbiased_var: Tensor) -> None:
        assert self.num_batches_tracked is not None  # nor are the others with running statistics
        assert self.running_mean is not None and self.running_var is not None
        self.num_batches_tracked.add_(1)
        # Without a momentum, the running statistics are the plain mean over all batches.
        momentum = 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_(unbiased_var.to(self.running_var.dtype), momentum)
