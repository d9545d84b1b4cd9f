"""torch's SGD with its fused step by default, and states that any run may have saved."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer

from mmseg_gc.errors import UserError
from mmseg_gc.registry import OPTIMIZERS

FUSED_ON = ("cpu", "cuda")
# How a step is computed, not what it computes: this run's choice, whatever the saved run's was.
STEP_OPTIONS = ("fused", "foreach", "capturable", "differentiable")


@OPTIMIZERS.register_module()
class SGD(torch.optim.SGD):
    """``torch.optim.SGD``; its options are torch's, and ``fused`` is True where it can be.

    The fused step reads and writes each number once. Its arithmetic is the same, but for products
    that are added before they are rounded.

    Raises:
        UserError: ``fused=True`` with ``dampening``, of which the fused step makes something else.
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
        dampens = dampening != 0 or any(
            group.get("dampening") for group in params if isinstance(group, dict)
        )
        if fused and dampens:
            raise UserError(
                "config key optim_wrapper.optimizer.fused=True doesn't go with dampening; leave "
                "fused out."
            )
        if fused is None:
            fused = not foreach and not differentiable and not dampens and _can_fuse(params)
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
        prepare_optimizer(self)

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        prepare_optimizer(self)  # a copy comes here without its hooks


def prepare_optimizer(optimizer: Optimizer) -> None:
    """Let ``optimizer`` go on from any run's state, and make its first step as its others are."""
    if getattr(optimizer, "_is_prepared", False):
        return
    optimizer.__dict__["_is_prepared"] = True
    optimizer.register_load_state_dict_pre_hook(_keep_step_options)
    optimizer.register_load_state_dict_post_hook(_lay_out_as_parameters)
    if isinstance(optimizer, torch.optim.SGD):
        optimizer.register_step_pre_hook(_begin_momenta)


def _keep_step_options(optimizer: Optimizer, state_dict: dict) -> dict:
    """``state_dict`` with the step options of ``optimizer``; torch would take the saved ones."""
    groups = [
        {**saved, **{key: own[key] for key in STEP_OPTIONS if key in own}}
        for saved, own in zip(state_dict["param_groups"], optimizer.param_groups, strict=False)
    ]
    # Groups that don't match are torch's to refuse.
    return {**state_dict, "param_groups": groups + state_dict["param_groups"][len(groups) :]}


def _lay_out_as_parameters(optimizer: Optimizer) -> None:
    """Give what was loaded its parameter's strides.

    A fused step goes through both in the order of memory: other strides are refused on a GPU and
    silently mixed up on a CPU.
    """
    for param, state in optimizer.state.items():
        for key, value in state.items():
            if (
                isinstance(value, Tensor)
                and value.shape == param.shape
                and value.stride() != param.stride()
            ):
                state[key] = torch.empty_like(param, dtype=value.dtype).copy_(value)


def _begin_momenta(optimizer: torch.optim.SGD, args: tuple, kwargs: dict) -> None:
    """Let a fused step find momenta of zeros where there are none yet.

    torch takes uninitialised memory for those of the first step, and keeps it if a gradient scaler
    skips that step. From zeros comes what the first step would have: the gradient.
    """
    for group in optimizer.param_groups:
        if not (group["fused"] and group["momentum"]) or group["dampening"]:
            continue
        for param in group["params"]:
            if param.grad is not None:
                state = optimizer.state[param]
                if state.get("momentum_buffer") is None:
                    state["momentum_buffer"] = torch.zeros_like(param)


def _can_fuse(params: list) -> bool:
    groups = params if params and isinstance(params[0], dict) else [{"params": params}]
    for group in groups:
        held = group["params"]
        for param in [held] if isinstance(held, Tensor) else held:
            if not param.is_floating_point() or param.device.type not in FUSED_ON:
                return False
    return True
