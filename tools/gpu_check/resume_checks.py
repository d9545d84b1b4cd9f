"""Trainings that go on from a checkpoint: to the same end, and from other optimizers' states."""

import math
import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch

from gpu_check.check import Check, CheckFailed
from gpu_check.setting import Setting
from gpu_check.short_training import AMP, train, train_apart, training_config
from mmseg_gc.checkpoint import load_checkpoint

ITERATIONS = 6
HALF = ITERATIONS // 2
# Grows within the run, so that a scale that isn't restored ends at another number.
GROWING = {"optim_wrapper.loss_scale": dict(init_scale=1024.0, growth_interval=2)}
NOISE = 10  # times what two runs in one go differ by


def resume_is_exact(setting: Setting, options: dict[str, Any], scaled: bool) -> str:
    """Half a run that goes on ends as one that was never stopped.

    Where the ends differ, a second run in one go says by how much they may: not all sums of a GPU
    are made in the same order each time.
    """
    if scaled:
        options = AMP | GROWING
    if not setting.cuda:
        options = {key: value for key, value in options.items() if "loss_scale" not in key}
    with tempfile.TemporaryDirectory() as name, deterministic_convolutions():
        folder = Path(name)
        whole = _end(setting, folder / "whole", options)
        _half(setting, folder / "halves", options)
        resumed = _end(setting, folder / "halves", options | {"resume": "auto"})
        gap = distance(whole, resumed)
        note = "bit for bit"
        if gap > 0:
            noise = distance(whole, _end(setting, folder / "again", options))
            note = f"{gap:.1e} off, two runs in one go {noise:.1e}"
            if not gap <= NOISE * noise:
                raise CheckFailed(note)
    scales = [state["optimizer"].get("loss_scaler") for state in (whole, resumed)]
    if scales[0] != scales[1]:
        raise CheckFailed(f"the scaler ends as {scales[1]}, not as {scales[0]}")
    if scaled and setting.cuda:
        scale = scales[0]["scale"]
        if scale <= 1024.0 * 2 ** (HALF // 2):
            raise CheckFailed(f"the scale didn't grow past the middle: {scale}")
        note += f"; the scale {scale:.0f} restored"
    return note


@contextmanager
def deterministic_convolutions():
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before


def _half(setting: Setting, folder: Path, options: dict[str, Any]) -> None:
    """The first half of a run that was meant to be whole."""
    cfg = training_config(setting, folder, ITERATIONS, options)
    cfg.train_cfg.max_iters = HALF
    for scheduler in cfg.param_scheduler:
        scheduler.setdefault("end", ITERATIONS)
    train(cfg)


def _end(setting: Setting, folder: Path, options: dict[str, Any]) -> dict:
    """The checkpoint at the end of a whole run."""
    train(training_config(setting, folder, ITERATIONS, options))
    return load_checkpoint(folder / f"iter_{ITERATIONS}.pth")


def distance(one: dict, other: dict) -> float:
    """The largest difference of two checkpoints' weights, averaged weights and momenta."""
    worst = 0.0
    for key in ("state_dict", "ema_state_dict"):
        worst = max(worst, *(_apart(one[key][name], other[key][name]) for name in one[key]))
    momenta = [checkpoint["optimizer"]["state"] for checkpoint in (one, other)]
    for number, state in momenta[0].items():
        buffer, twin = state["momentum_buffer"], momenta[1][number]["momentum_buffer"]
        worst = max(worst, _apart(buffer, twin))
    return worst


def _apart(one: torch.Tensor, other: torch.Tensor) -> float:
    difference = float((one.double() - other.double()).abs().max()) if one.numel() else 0.0
    return math.inf if math.isnan(difference) else difference


def amp_resumes_from(setting: Setting, state: str) -> str:
    """Under AMP, from the optimizer's state of another kind of run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if state == "cpu":
            setting.require_gpu("an AMP run of a CPU goes on on the GPU")
            train_apart(setting, folder, HALF * 2, AMP, device=torch.device("cpu"))
        else:
            kinds = {
                "unfused": AMP | {"optim_wrapper.optimizer.fused": False},
                "fp32": {},
            }
            train(training_config(setting, folder, HALF * 2, kinds[state]))
        options = AMP | {"resume": "auto"}
        losses, _ = train(training_config(setting, folder, HALF * 2 + 2, options))
    if len(losses) != 2 or not all(map(math.isfinite, losses)):
        raise CheckFailed(f"went on with losses {losses}, not with two finite ones")
    return f"losses go on with {losses[0]:.3f}, {losses[1]:.3f}"


CHECKS = [
    Check(
        "resume/fp32",
        "half a run goes on to the end of a whole one",
        partial(resume_is_exact, options={}, scaled=False),
        limit=90,
    ),
    Check(
        "resume/amp",
        "half an AMP run goes on to the end of a whole one, the loss scale too",
        partial(resume_is_exact, options={}, scaled=True),
        limit=90,
    ),
    *(
        Check(
            f"resume/amp-from-{state}",
            f"--amp goes on from the optimizer's state of {what}",
            partial(amp_resumes_from, state=state),
            limit=90,
        )
        for state, what in (
            ("unfused", "an optimizer that isn't fused, as mmsegmentation's"),
            ("fp32", "a run without AMP"),
            ("cpu", "a run on a CPU"),
        )
    ),
]
