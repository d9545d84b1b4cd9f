"""Rates and other options of a resumed run: those of its config, where a checkpoint has others.

A checkpoint holds what its run was configured with, next to how far it got. Taken whole, a longer
schedule or another rate in the config would have no effect. With an unchanged config it is taken
whole.
"""

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations, zip_longest
from typing import Any

from mmengine.optim import ConstantLR, LinearLR, OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, Runner

from mmseg_gc.config import accepted_keys

# How far a scheduler got. The rest of its state is how it was configured.
PROGRESS = {
    "last_step",
    "_global_step",
    "_last_value",
    "best",
    "num_bad_epochs",
    "cooldown_counter",
}
# Options that don't change what a step does.
HOW_IT_STEPS = {"foreach", "fused", "capturable", "differentiable"}
# What usually ends long before the training.
WARM_UPS = (ConstantLR, LinearLR)


def options(optim_wrapper: OptimWrapper) -> list[dict]:
    """Everything but the parameters in each group, the base values last."""
    return [
        {name: value for name, value in group.items() if name != "params"}
        for group in optim_wrapper.param_groups
    ]


def follow_config(runner: Runner, configured: list[dict], saved: list[dict] | None) -> None:
    """Give the optimizer and the schedulers what the config says at the resumed iteration.

    Args:
        configured: `options` before those of the checkpoint were loaded.
        saved: the states of the checkpoint's schedulers.

    Where the config's schedule isn't the checkpoint's, its schedulers are stepped from the start,
    as if they had always been in use. One that follows a score can't be: then all go on from the
    checkpoint's values under the config's settings. Each difference is logged with both values.
    """
    schedulers = runner.param_schedulers or []
    saved = saved or []
    loaded = options(runner.optim_wrapper)
    scheduled = _scheduled(schedulers)
    differing = _take_options(runner.optim_wrapper, configured, scheduled)
    reshaped = _differing_rates(configured, loaded, scheduled)
    reshaped += _differing_settings(schedulers, saved)
    if not reshaped:
        for scheduler, state in zip(schedulers, saved, strict=True):
            scheduler.load_state_dict(state)
    elif len(saved) == len(schedulers) and any(hasattr(s, "need_val_args") for s in schedulers):
        _go_on(runner.optim_wrapper, schedulers, configured, loaded, saved)
    else:
        for group, own in zip(runner.optim_wrapper.param_groups, configured, strict=True):
            group.update({name: own[name] for name in scheduled & own.keys()})
        _step_from_start(runner, schedulers)
    if differing or reshaped:
        before, now = loaded[-1]["lr"], runner.optim_wrapper.param_groups[-1]["lr"]
        runner.logger.warning(
            "Another config than the checkpoint's is followed "
            f"(checkpoint -> config: {'; '.join(differing + reshaped)})"
            + (f": the lr goes on at {now:.4g}, not {before:.4g}." if now != before else ".")
        )


def _scheduled(schedulers: Sequence) -> set[str]:
    """What the schedulers write into a group."""
    names = set()
    for scheduler in schedulers:
        name = scheduler.param_name
        names |= {name, f"initial_{name}", f"max_{name}", f"min_{name}"}
        if getattr(scheduler, "use_betas", False):
            names.add("betas")
    return names


def _take_options(
    optim_wrapper: OptimWrapper, configured: list[dict], scheduled: set[str]
) -> list[str]:
    """Set what the optimizer's constructor takes as configured; say what differed.

    What it doesn't take is its own state, which some optimizers keep in their groups.
    """
    taken = (accepted_keys(type(optim_wrapper.optimizer)) or set()) - scheduled
    differing = {}
    for group, own in zip(optim_wrapper.param_groups, configured, strict=True):
        for name in taken & own.keys():
            if group.get(name) != own[name] and name not in HOW_IT_STEPS:
                key = f"optim_wrapper.optimizer.{name}"
                differing[name] = f"{key} {group.get(name)} -> {own[name]}"
            group[name] = own[name]
    return list(differing.values())


def _differing_rates(configured: list[dict], loaded: list[dict], scheduled: set[str]) -> list[str]:
    """The values that a schedule starts with, where a group's differ; the base's if that does."""
    differing = {}
    for own, group in zip(configured, loaded, strict=True):
        for name in sorted(scheduled & own.keys()):
            if name.startswith("initial_") and group.get(name) != own[name]:
                key = f"optim_wrapper.optimizer.{name.removeprefix('initial_')}"
                differing[name] = f"{key} {group.get(name)} -> {own[name]}"
    return list(differing.values())


def _differing_settings(schedulers: Sequence, saved: Sequence[Mapping]) -> list[str]:
    differing = []
    for index, (scheduler, state) in enumerate(zip_longest(schedulers, saved)):
        key = f"param_scheduler.{index}"
        if scheduler is None or state is None:
            differing.append(f"{key} is in {'the checkpoint' if state else 'the config'} alone")
            continue
        own = scheduler.state_dict()
        names = [
            name
            for name in (own.keys() | state.keys()) - PROGRESS
            if name not in own or name not in state or own[name] != state[name]
        ]
        told = sorted((accepted_keys(type(scheduler)) or set()).intersection(names, own, state))
        differing += [f"{key}.{n} {_plain(state[n])} -> {_plain(own[n])}" for n in told]
        if names and not told:
            differing.append(key)
    return differing


def _plain(value: Any) -> Any:
    return sorted(value.elements()) if isinstance(value, Counter) else value


def _go_on(
    optim_wrapper: OptimWrapper,
    schedulers: Sequence,
    configured: list[dict],
    loaded: list[dict],
    saved: Sequence[Mapping],
) -> None:
    """Keep how far each scheduler got, and each value's share of what it started with."""
    for scheduler, state in zip(schedulers, saved, strict=True):
        scheduler.load_state_dict({k: v for k, v in state.items() if k in PROGRESS})
        name, first = scheduler.param_name, f"initial_{scheduler.param_name}"
        groups = zip(optim_wrapper.param_groups, configured, loaded, strict=True)
        for group, own, before in groups:
            share = before[name] / before[first] if before.get(first) else 1.0
            group[first] = own[first]
            group[name] = before[name] if own[first] == before.get(first) else own[first] * share


def _step_from_start(runner: Runner, schedulers: Sequence) -> None:
    counts_epochs = isinstance(runner.train_loop, EpochBasedTrainLoop) and runner.epoch > 0
    epoch_length = runner.iter // runner.epoch if counts_epochs else runner.iter + 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no step of the optimizer comes before these
        for done in range(1, runner.iter + 1):
            for scheduler in schedulers:
                if not scheduler.by_epoch or done % epoch_length == 0:
                    scheduler.step()


def _rises(scheduler: Any, floor: float | None) -> bool:
    """Whether what comes down to ``floor`` starts below it, as another optimizer's rate may."""
    base = scheduler.optimizer.param_groups[-1]
    return floor is not None and floor > base.get(f"initial_{scheduler.param_name}", floor)


def warn_of_schedule(runner: Runner) -> None:
    """Say what of the schedule to come does nothing, or that nothing is to come."""
    warn_of_idle_schedule(runner)
    tell_finished(runner)


def tell_finished(runner: Runner) -> None:
    """Say so if a resumed run has nothing left to train."""
    counts_epochs = isinstance(runner.train_loop, EpochBasedTrainLoop)
    key, done, end = (
        ("max_epochs", runner.epoch, runner.max_epochs)
        if counts_epochs
        else ("max_iters", runner.iter, runner.max_iters)
    )
    if done >= end:
        runner.logger.warning(
            f"Nothing is left to train: the checkpoint is at {done} and train_cfg.{key} is {end}; "
            f"raise train_cfg.{key} to train on."
        )


def warn_of_idle_schedule(runner: Runner) -> None:
    """Say so if the schedule ends before the training does, or never acts."""
    counts_epochs = isinstance(runner.train_loop, EpochBasedTrainLoop)
    key, last = (
        ("max_epochs", runner.max_epochs) if counts_epochs else ("max_iters", runner.max_iters)
    )
    _warn_of_overlaps(runner)
    ends = []
    for index, scheduler in enumerate(runner.param_schedulers or []):
        if scheduler.by_epoch and not counts_epochs and not hasattr(scheduler, "need_val_args"):
            runner.logger.warning(
                f"param_scheduler.{index} counts epochs, the training counts iterations, and so it "
                f"never acts: set param_scheduler.{index}.by_epoch=False."
            )
        elif _rises(scheduler, floor := getattr(scheduler, "eta_min", None)):
            runner.logger.warning(
                f"param_scheduler.{index}.eta_min={floor:g} is above the {scheduler.param_name} "
                "that optim_wrapper.optimizer starts with, so that it rises; lower eta_min."
            )
        milestones = getattr(scheduler, "milestones", None)
        if milestones and scheduler.by_epoch == counts_epochs and min(milestones) >= last:
            runner.logger.warning(
                f"param_scheduler.{index}.milestones begin at {min(milestones)} and "
                f"train_cfg.{key} is {last}, so that it never acts: lower them."
            )
        if scheduler.by_epoch == counts_epochs and not isinstance(scheduler, WARM_UPS):
            ends.append(scheduler.end)
    if ends and max(ends) < last:
        runner.logger.warning(
            f"param_scheduler ends at {max(ends)} and train_cfg at {last}: the learning rate stays "
            "what it is there for the rest; set param_scheduler's end."
        )


def _warn_of_overlaps(runner: Runner) -> None:
    """Say so if two schedules, each of which leads to a floor, move one thing at a time."""
    moving = [
        (index, one)
        for index, one in enumerate(runner.param_schedulers or [])
        if hasattr(one, "eta_min")
    ]
    for (i, one), (j, other) in combinations(moving, 2):
        begin, end = max(one.begin, other.begin), min(one.end, other.end)
        alike = one.param_name == other.param_name and one.by_epoch == other.by_epoch
        if alike and begin < end:
            runner.logger.warning(
                f"param_scheduler.{i} ({type(one).__name__}) and param_scheduler.{j} "
                f"({type(other).__name__}) both change the {one.param_name} from {begin} to {end}, "
                "so that it falls by both at once; let one begin where the other ends."
            )
