"""Trainings of a few iterations in every precision, beside the CPU's, and after an overflow."""

import math
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from measures import allow_tf32
from mmengine.hooks import Hook
from torch import Tensor

from gpu_check.check import Check, CheckFailed, SkipCheck
from gpu_check.setting import Setting
from gpu_check.short_training import (
    AMP,
    AMP_DTYPES,
    NO_DROPOUT,
    train,
    train_apart,
    training_config,
)
from mmseg_gc.checkpoint import load_checkpoint

ITERATIONS = 6
TOLERANT = dict(type="mmseg_gc.NonFiniteLossHook", tolerate=2)


class Kind(NamedTuple):
    """A training; ``precision`` is None for float32, "amp" for what the device takes by itself."""

    precision: str | None
    options: dict[str, Any] = {}


KINDS = {
    "fp32": Kind(None),
    "fp16": Kind("fp16"),
    "bf16": Kind("bf16"),
    "accumulate": Kind("amp", {"optim_wrapper.accumulative_counts": 2}),
    "frozen": Kind("amp", {"model.backbone.frozen_stages": 1}),
    "with-cp": Kind("amp", {"model.backbone.with_cp": True}),
    "tolerant": Kind("amp", {"default_hooks.nonfinite_loss": TOLERANT}),
}


def trains(setting: Setting, kind: Kind) -> str:
    """Losses are finite and fall, with EMA and validation; checkpoints hold CPU tensors."""
    options = dict(kind.options)
    if kind.precision is not None:
        options |= AMP
    if kind.precision in AMP_DTYPES:
        setting.require_precision(kind.precision)
        options["optim_wrapper.dtype"] = AMP_DTYPES[kind.precision]
    with tempfile.TemporaryDirectory() as folder:
        losses, runner = train(training_config(setting, folder, ITERATIONS, options))
        saved = load_checkpoint(Path(folder) / f"iter_{ITERATIONS}.pth", map_location=None)
    note = f"loss {losses[0]:.3f} to {losses[-1]:.3f}"
    if not all(map(math.isfinite, losses)) or losses[-1] >= losses[0]:
        raise CheckFailed(f"losses {', '.join(f'{loss:.3f}' for loss in losses)} don't fall")
    places = {tensor.device.type for tensor in tensors(saved)}
    if places != {"cpu"}:
        raise CheckFailed(f"the checkpoint holds tensors of {', '.join(sorted(places))}")
    used = next(runner.model.parameters()).device.type
    if used != setting.device.type:
        raise CheckFailed(f"trained on {used}, not on {setting.device.type}")
    return note


def tensors(value: object) -> Iterator[Tensor]:
    """All that ``value``, nested containers, holds."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from tensors(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from tensors(one)


def losses_are_the_cpus(setting: Setting) -> str:
    """In float32 and without dropout, the same losses as a process that sees no GPU."""
    setting.require_gpu("a training beside the CPU's")
    with tempfile.TemporaryDirectory() as folder:
        cpu = torch.device("cpu")
        [told] = train_apart(setting, Path(folder, "cpu"), 4, NO_DROPOUT, device=cpu)
        with allow_tf32(False):
            losses, _ = train(training_config(setting, Path(folder, "gpu"), 4, NO_DROPOUT))
    worst = max(abs(a - b) / b for a, b in zip(losses, told.losses, strict=True))
    note = f"{losses[0]:.4f} to {losses[-1]:.4f}, at most {worst:.1e} off"
    if worst > 2e-3:
        raise CheckFailed(f"{note}; the CPU's are {told.losses}")
    return note


class WatchHook(Hook):
    """Keeps the scale and the sum of all weights after each iteration."""

    def __init__(self) -> None:
        self.scales: list[float] = []
        self.weights: list[float] = []

    def before_train(self, runner: Any) -> None:
        self._look(runner)

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        self._look(runner)

    def _look(self, runner: Any) -> None:
        self.scales.append(runner.optim_wrapper.loss_scaler.get_scale())
        weights = runner.model.parameters()
        self.weights.append(sum(float(one.detach().double().abs().sum()) for one in weights))


def first_overflow_changes_nothing(setting: Setting) -> str:
    """From a scale that overflows at once; memory that was freed before holds NaN."""
    setting.require_gpu("a CPU trains in bfloat16, which needs no scale")
    # 2^60, then 2^40, then 2^20: gradients of the first two can't be held in float16.
    scale = dict(init_scale=2.0**60, backoff_factor=2.0**-20)
    watch = WatchHook()
    pieces = 4 if setting.tiny else 200
    junk = [torch.full((1 << 20,), float("nan"), device=setting.device) for _ in range(pieces)]
    del junk  # what uninitialised memory will be made of
    with tempfile.TemporaryDirectory() as folder:
        options = AMP | {"optim_wrapper.loss_scale": scale}
        losses, _ = train(training_config(setting, folder, 10, options), [watch])
    shown = f"losses {', '.join(f'{loss:.3f}' for loss in losses)}; scales {watch.scales[:4]}"
    skipped = [after < before for before, after in pairwise(watch.scales)]
    if not all(skipped[:2]):
        raise SkipCheck(f"no overflow was brought about: {shown}")
    for number, (before, after) in enumerate(pairwise(watch.weights)):
        if skipped[number] and before != after:
            raise CheckFailed(f"iteration {number + 1} overflowed and changed weights; {shown}")
    if not all(map(math.isfinite, losses)) or losses[-1] >= losses[0]:
        raise CheckFailed(f"after {sum(skipped)} overflows {shown}")
    return f"{sum(skipped)} steps left out, {shown}"


CHECKS = [
    *(
        Check(
            f"training/{name}",
            "losses fall, with EMA, validation and checkpoints",
            partial(trains, kind=kind),
        )
        for name, kind in KINDS.items()
    ),
    Check("training/beside-cpu", "losses of the GPU are the CPU's", losses_are_the_cpus, 120),
    Check(
        "training/overflow",
        "a first step under AMP that overflows changes nothing",
        first_overflow_changes_nothing,
    ),
]
