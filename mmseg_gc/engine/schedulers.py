"""mmengine's schedulers, under which every parameter group keeps its ratio to the base value.

mmengine holds all groups to one absolute bound, so that ``eta_min`` lifts the rate of a group with
``lr_mult=0`` and a frozen backbone trains. Here the bound of a group is the bound times its ratio:
0 stays 0, and a training without ``paramwise_cfg`` has mmengine's numbers bit for bit. Schedulers
that only multiply (``LinearLR``, ``ConstantLR``, ``StepLR``, ``MultiStepLR``, ``ExponentialLR``)
are mmengine's own.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from mmengine.optim import BaseOptimWrapper, OptimWrapper, scheduler
from torch.optim import Optimizer

from mmseg_gc.registry import PARAM_SCHEDULERS, SCOPE


def ratios_to_base(optimizer: BaseOptimWrapper | Optimizer, name: str) -> list[float]:
    """What each group of ``optimizer`` starts with, divided by the base value of ``name``.

    An `OptimWrapper` with several groups counts one more, the base values, which comes last.
    """
    starts = [group.get(f"initial_{name}", group[name]) for group in optimizer.param_groups]
    if isinstance(optimizer, BaseOptimWrapper) or len(starts) == 1:
        base = starts[-1]
    else:
        base = optimizer.defaults[name] if name in optimizer.defaults else starts[0]
    return [start / base if base else 1.0 for start in starts]


# For the type checker what each class is put before; mmengine's classes come below.
Scheduler: Any = object


class ScalesFloor(Scheduler):
    """Before a scheduler whose ``eta_min`` is one value for all groups."""

    def _get_value(self) -> list[float]:
        if self.eta_min is None:  # `eta_min_ratio` is given, which is each group's own
            return super()._get_value()
        ratios = ratios_to_base(self.optimizer, self.param_name)
        values = {}
        for ratio in set(ratios):
            scaled = copy.copy(self)
            scaled.eta_min = self.eta_min * ratio
            values[ratio] = super(ScalesFloor, scaled)._get_value()
        return [values[ratio][index] for index, ratio in enumerate(ratios)]


class ScalesMinimum(Scheduler):
    """Before a scheduler that follows a score down to ``min_value``; a list of these is kept."""

    def __init__(
        self,
        optimizer: BaseOptimWrapper | Optimizer,
        *args: Any,
        min_value: float | Sequence[float] = 0.0,
        **kwargs: Any,
    ):
        super().__init__(optimizer, *args, min_value=min_value, **kwargs)
        if not isinstance(min_value, Sequence):
            ratios = ratios_to_base(optimizer, self.param_name)
            self.min_values = [min_value * ratio for ratio in ratios]


for _base in (
    scheduler.PolyLR,
    scheduler.PolyMomentum,
    scheduler.PolyParamScheduler,
    scheduler.CosineAnnealingLR,
    scheduler.CosineAnnealingMomentum,
    scheduler.CosineAnnealingParamScheduler,
    scheduler.CosineRestartLR,
    scheduler.CosineRestartMomentum,
    scheduler.CosineRestartParamScheduler,
):
    PARAM_SCHEDULERS.register_module(module=type(_base.__name__, (ScalesFloor, _base), {}))
for _base in (
    scheduler.ReduceOnPlateauLR,
    scheduler.ReduceOnPlateauMomentum,
    scheduler.ReduceOnPlateauParamScheduler,
):
    PARAM_SCHEDULERS.register_module(module=type(_base.__name__, (ScalesMinimum, _base), {}))


@PARAM_SCHEDULERS.register_module()
class OneCycleLR(scheduler.OneCycleLR):
    """mmengine's; the peak of a group is ``eta_max`` times its ratio. A list of peaks is kept."""

    def __init__(
        self,
        optimizer: BaseOptimWrapper | Optimizer,
        eta_max: float | Sequence[float] = 0,
        *args: Any,
        **kwargs: Any,
    ):
        if not isinstance(eta_max, Sequence):
            eta_max = [eta_max * ratio for ratio in ratios_to_base(optimizer, "lr")]
        super().__init__(optimizer, eta_max, *args, **kwargs)

    def state_dict(self) -> dict:
        # A function, which no checkpoint that is read without running code may hold.
        return {key: value for key, value in super().state_dict().items() if key != "anneal_func"}


def with_ratios_kept(configured: Any) -> Any:
    """``param_scheduler`` of a config, with the classes here in the place of mmengine's.

    By name or as a class, in a detector's scope as well. What isn't mmengine's is left as it is.
    """
    if isinstance(configured, Sequence) and not isinstance(configured, str):
        return [with_ratios_kept(part) for part in configured]
    if not isinstance(configured, Mapping):
        return configured
    if "type" not in configured:  # by the names of several optimizers
        return {name: with_ratios_kept(part) for name, part in configured.items()}
    kind = configured["type"]
    if isinstance(kind, str):
        scope, _, name = kind.rpartition(".")
        own = PARAM_SCHEDULERS.module_dict.get(name) if scope in ("", "mmengine", SCOPE) else None
    else:
        own = PARAM_SCHEDULERS.module_dict.get(kind.__name__)
        own = own if own is not None and issubclass(own, kind) else None
    return configured if own is None else {**configured, "type": own}


@contextmanager
def base_among_groups(optim_wrapper: OptimWrapper) -> Iterator[None]:
    """Let what changes every group's rate change the base rate alike, so that ratios stay."""
    base = getattr(optim_wrapper, "base_param_settings", None)
    groups = [] if base is None else optim_wrapper.optimizer.param_groups
    groups.append(base)
    try:
        yield
    finally:
        groups.pop()
