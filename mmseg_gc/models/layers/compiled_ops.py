"""Whether a model has layers that mmcv compiles."""

from torch import nn


def has_ops(model: nn.Module) -> bool:
    """Whether ``model`` has a layer of mmcv's compiled ops, such as DCN or RoIAlign."""
    return any(type(module).__module__.startswith("mmcv.ops.") for module in model.modules())
