"""What `SyncBN` layers become where torch's own refuse: one process, or CPU tensors."""

from typing import Any

from mmengine.logging import print_log
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmseg_gc.models.layers import AllReduceBatchNorm2d


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
    # A norm layer that hangs in two places must stay one layer, and be torch's own class, which
    # others look for: mmengine's `revert_sync_batchnorm` does neither.
    replaced: dict[nn.Module, nn.Module] = {}
    for module in list(model.modules()):
        for name, child in module._modules.items():
            if child is not None and _is_sync_bn(child):
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


def _handed_over(source: Any, target: type[_BatchNorm]) -> _BatchNorm:
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
