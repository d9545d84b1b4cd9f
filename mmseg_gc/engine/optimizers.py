"""torch's SGD with its fused step by default."""

from collections.abc import Iterable

import torch

from mmseg_gc.registry import OPTIMIZERS

FUSED_ON = ("cpu", "cuda")


@OPTIMIZERS.register_module()
class SGD(torch.optim.SGD):
    """``torch.optim.SGD``; its options are torch's, and ``fused`` is True where it can be.

    The fused step reads and writes each number once. Its arithmetic is the same, but for products
    that are added before they are rounded.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        params = list(params)
        if fused is None:
            fused = not foreach and not differentiable and _can_fuse(params)
        super().__init__(
            params,
            lr,
            momentum,
            dampening,
            weight_decay,
            nesterov,
            maximize=maximize,
            foreach=foreach,
            differentiable=differentiable,
            fused=fused or None,
        )


def _can_fuse(params: list) -> bool:
    groups = params if params and isinstance(params[0], dict) else [{"params": params}]
    for group in groups:
        held = group["params"]
        for param in [held] if isinstance(held, torch.Tensor) else held:
            if not param.is_floating_point() or param.device.type not in FUSED_ON:
                return False
    return True
