"""What of a checkpoint's optimizer the config's can go on with, tensor by tensor."""

import math
from collections.abc import Iterator, Mapping
from numbers import Real
from typing import Any

import torch
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from mmseg_gc.errors import UserError

# Each of them tells families of optimizers apart.
TELLING_OPTIONS = {"momentum", "betas", "alpha", "lambd", "lr_decay", "rho", "etas"}
# Sums over rows and columns (Adafactor), and counts: the only ones of another shape.
OF_OTHER_SHAPE = {"row_var", "col_var"}
# What torch's optimizers have a number of for each of the parameter's, and nothing else.
OF_ITS_SHAPE = {
    "momentum_buffer", "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "exp_inf", "square_avg",
    "grad_avg", "acc_delta", "sum", "prev", "ax",
}  # fmt: skip


def require_same_groups(optim_wrapper: OptimWrapper, saved: Any, source: str) -> None:
    """Refuse an optimizer's state that isn't of the config's optimizer.

    Raises:
        UserError: another number of parameters or groups, another family of optimizers, or options
            that are no numbers.
    """
    groups = optim_wrapper.optimizer.param_groups
    try:
        saved_groups, states = saved["param_groups"], saved["state"]
        counts = [[len(group["params"]) for group in side] for side in (groups, saved_groups)]
        numbers = [number for group in saved_groups for number in group["params"]]
        whole = numbers == list(range(len(numbers))) and isinstance(states, Mapping)
        whole = whole and all(isinstance(state, Mapping) for state in states.values())
    except (TypeError, KeyError):
        whole = False
    if not whole:
        raise UserError(
            f"{source} can't be resumed from: what it has as its optimizer is none; take an older "
            "checkpoint."
        )
    what = None
    if counts[0] != counts[1]:
        what = (
            f"{sum(counts[1])} parameters in {len(counts[1])} groups, the config makes "
            f"{sum(counts[0])} in {len(counts[0])} (optim_wrapper.paramwise_cfg and frozen parts)"
        )
    elif lacking := TELLING_OPTIONS & groups[0].keys() - saved_groups[0].keys():
        what = f"no {min(lacking)}, which the config's optimizer has (optim_wrapper.optimizer.type)"
    elif foreign := TELLING_OPTIONS & saved_groups[0].keys() - groups[0].keys():
        what = f"{min(foreign)}, which the config's optimizer hasn't (optim_wrapper.optimizer.type)"
    elif bad := next(_bad_options(groups, saved_groups), None):
        what = f"{bad[0]}={bad[1]!r:.40}, which is no value for it"
    if what:
        raise UserError(
            f"{source} can't be resumed from: its optimizer has {what}; keep those of the "
            "checkpoint, or pass it as --cfg-options load_from=… to start from its weights."
        )


def _bad_options(groups: list[dict], saved: list[dict]) -> Iterator[tuple[str, object]]:
    for own, other in zip(groups, saved, strict=True):
        for name in own.keys() & other.keys() - {"params"}:
            if not _is_like(own[name], other[name]):
                yield name, other[name]


def _is_like(own: object, other: object) -> bool:
    if isinstance(own, list | tuple):
        return (
            isinstance(other, list | tuple)
            and len(own) == len(other)
            and all(map(_is_like, own, other))
        )
    if isinstance(own, Real) and not isinstance(own, bool):
        if isinstance(other, Tensor):
            return other.numel() == 1
        return isinstance(other, Real) and math.isfinite(other)
    return True


def keep_fitting_state(
    runner: Runner, optim_wrapper: OptimWrapper, saved: Mapping, weights: Mapping, source: str
) -> None:
    """Take out of ``saved`` what isn't of the checkpoint's parameter, with a warning.

    A fused step reads and writes momenta of another shape as if they had the parameter's. And those
    of a parameter whose weights aren't in ``weights`` are another's, even where the shape fits.
    """
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    names = {parameter: name for name, parameter in model.named_parameters()}
    parameters = [p for group in optim_wrapper.optimizer.param_groups for p in group["params"]]
    states = saved["state"]
    known = {number for number in range(len(parameters)) if number in states}
    anew = [
        number
        for number in known
        if not _fits(states[number], parameters[number], weights.get(names.get(parameters[number])))
    ]
    for number in states.keys() - known | set(anew):
        del states[number]
    if anew:
        first = names.get(parameters[min(anew)])
        runner.logger.warning(
            f"{source}: the optimizer's state of {len(anew)} of {len(parameters)} parameters, "
            f"first {first}, doesn't fit the model and starts anew."
        )


def _fits(state: Mapping, parameter: nn.Parameter, weight: object) -> bool:
    if not isinstance(weight, Tensor) or weight.shape != parameter.shape:
        return False
    return all(_value_fits(key, value, parameter) for key, value in state.items())


def _value_fits(key: object, value: object, parameter: nn.Parameter) -> bool:
    if not isinstance(key, str):
        return False
    if key in OF_ITS_SHAPE:
        if value is None:
            return True
        if not isinstance(value, Tensor) or value.shape != parameter.shape:
            return False
    elif not isinstance(value, Tensor):
        return value is None or isinstance(value, Real)
    elif value.ndim == 0:
        return value.dtype in (torch.float32, torch.float64, torch.int64, parameter.dtype)
    fits = value.is_floating_point() == parameter.is_floating_point()
    return fits and (value.shape == parameter.shape or key in OF_OTHER_SHAPE)
