"""What is saved, away from the GPU that it was computed on."""

from mmengine.runner.checkpoint import weights_to_cpu
from mmengine.utils import apply_to
from torch import Tensor


def on_cpu(checkpoint: dict) -> dict:
    """``checkpoint`` with every tensor in it, at any depth, on the CPU."""
    return {key: _moved(value) for key, value in checkpoint.items()}


def _moved(state: object) -> object:
    if hasattr(state, "_metadata"):  # the weights' dict tells the versions of modules by it
        return weights_to_cpu(state)
    return apply_to(state, lambda value: isinstance(value, Tensor), lambda value: value.cpu())
