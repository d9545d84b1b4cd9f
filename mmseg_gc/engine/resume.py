"""Find the checkpoint to go on from, and see that a run can."""

import os
import re
from collections.abc import Iterator, Mapping, MutableMapping
from numbers import Real
from pathlib import Path
from typing import TypeGuard

from mmengine.hooks import EMAHook
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner

from mmseg_gc.checkpoint import DamagedCheckpointError, read_checkpoint
from mmseg_gc.engine.averaged_weights import fit_average
from mmseg_gc.engine.finite_state import require_finite_checkpoint
from mmseg_gc.engine.follow_config import PROGRESS
from mmseg_gc.engine.random_state import capture_random_state, restore_random_state
from mmseg_gc.engine.saved_optimizer import keep_fitting_state, require_same_groups
from mmseg_gc.errors import UserError

POINTER = "last_checkpoint"
LONGEST_PATH = 4096  # bytes, as the system has it
TRAINING_STATE = {"meta", "message_hub", "optimizer"}


def newest_checkpoint(work_dir: str | Path, trust_pickle: bool = False) -> str | None:
    """The newest whole checkpoint of ``work_dir`` that a run can go on from; None without any.

    ``last_checkpoint`` names the first to be tried; the others follow by their age. A damaged one,
    and what is no regular file, is passed over with a warning that names it.

    Raises:
        UserError: there are checkpoints, and all are damaged; or one could run code.
    """
    logger = MMLogger.get_current_instance()
    candidates = _candidates(Path(work_dir), logger)
    for path in candidates:
        try:
            checkpoint = read_checkpoint(path, trust_pickle=trust_pickle)
        except DamagedCheckpointError as error:
            logger.warning(f"Passed over: {error}")
            continue
        lacking = [key for key in sorted(TRAINING_STATE) if key not in checkpoint]
        if "optimizer" in lacking:
            logger.warning(f"Passed over: {path} has weights alone and can't be resumed from.")
        elif (fault := _progress_fault(checkpoint)) is not None:
            logger.warning(f"Passed over: {path} has {fault} and can't be resumed from.")
        else:
            return str(path)
    if candidates:
        raise UserError(
            f"none of the {len(candidates)} checkpoints in {work_dir} can be resumed from; remove "
            "them to begin anew, or name another one: --resume CHECKPOINT."
        )
    return None


def _candidates(work_dir: Path, logger: MMLogger) -> list[Path]:
    ages = {}
    for path in work_dir.glob("*.pth"):
        if re.search(r"^[a-z]+_\d+\.pth$", path.name):
            if os.path.isfile(path):  # no folder, pipe or broken link
                ages[path] = path.stat().st_mtime_ns
            else:
                logger.warning(f"Passed over: {path} is no regular file.")
    files = sorted(ages, key=ages.__getitem__, reverse=True)
    named = _named_last(work_dir)
    # A folder that was copied or moved goes on from its own files.
    last = next((p for p in (work_dir / Path(named).name, Path(named)) if os.path.isfile(p)), None)
    if not named or last is None:
        return files
    return [last, *[path for path in files if path.name != last.name]]


def _named_last(work_dir: Path) -> str:
    pointer = work_dir / POINTER
    if not os.path.isfile(pointer):
        return ""
    with open(pointer, "rb") as file:
        return os.fsdecode(file.read(LONGEST_PATH)).strip()


def require_resumable(runner: Runner, checkpoint: MutableMapping, source: str) -> None:
    """See that ``runner`` can go on from ``checkpoint``; without `EMAHook`, from its own weights.

    What of the optimizer's state doesn't fit the model is taken out, with a warning.

    Raises:
        UserError: it has no training state, another optimizer's, or one that isn't numbers.
    """
    lacking = TRAINING_STATE - checkpoint.keys()
    if lacking:
        raise UserError(
            f"{source} can't be resumed from: it has no {', '.join(sorted(lacking))}; pass it as "
            "--cfg-options load_from=… to start from its weights."
        )
    if (fault := _progress_fault(checkpoint)) is not None:
        raise UserError(
            f"{source} can't be resumed from: it has {fault}; take an older checkpoint."
        )
    wrapper, saved = runner.optim_wrapper, checkpoint["optimizer"]
    pairs = [(wrapper, saved)]
    if isinstance(wrapper, OptimWrapperDict):
        if not isinstance(saved, Mapping) or saved.keys() != dict(wrapper.items()).keys():
            raise UserError(
                f"{source} can't be resumed from: its optimizers aren't those of the config "
                "(optim_wrapper); pass it as --cfg-options load_from=… to start from its weights."
            )
        pairs = [(each, saved[name]) for name, each in wrapper.items()]
    for each, state in pairs:
        require_same_groups(each, state, source)
    for each, state in pairs:
        keep_fitting_state(runner, each, state, checkpoint["state_dict"], source)
    fit_average(runner, checkpoint, source)
    require_finite_checkpoint(checkpoint, source, as_built=runner.spoilt_as_built)
    averaging = any(isinstance(hook, EMAHook) for hook in runner.hooks)
    if "ema_state_dict" in checkpoint and not averaging:
        runner.logger.warning(
            f"{source} has a running average of the weights, and the config has no EMAHook: the "
            "run goes on from the trained weights, without an average."
        )
        for name, value in checkpoint["ema_state_dict"].items():
            # `EMAHook` saves the two in each other's place.
            if name.startswith("module."):
                checkpoint["state_dict"][name.removeprefix("module.")] = value


def _progress_fault(checkpoint: Mapping) -> str | None:
    """What of the run's progress can't be, beside weights and optimizer; None if all can."""
    return next(_progress_faults(checkpoint), None)


def _progress_faults(checkpoint: Mapping) -> Iterator[str]:
    meta = checkpoint.get("meta", {})
    for key in ("iter", "epoch"):
        if not _counts(meta.get(key)):
            yield f"meta.{key}={meta[key]!r:.40}" if key in meta else f"no meta.{key}"
    if not _is_seed(meta.get("seed")):
        yield f"meta.seed={meta['seed']!r:.40}"
    hub = checkpoint.get("message_hub", {})
    parts = ("log_scalars", "runtime_info", "resumed_keys")
    if not isinstance(hub, Mapping) or (
        hub and not all(isinstance(hub.get(part), Mapping) for part in parts)
    ):
        yield "a message_hub of another kind"
    else:
        for key, value in hub.get("runtime_info", {}).items():
            if str(key).startswith("best_score") and not isinstance(value, Real):
                yield f"message_hub.runtime_info.{key}={value!r:.40}"
    schedulers = checkpoint.get("param_schedulers") or []
    lists = schedulers.values() if isinstance(schedulers, Mapping) else [schedulers]
    for each in lists:
        if not isinstance(each, list) or not all(map(_is_scheduler, each)):
            yield "param_schedulers of another kind"
    if not _is_resume_state(checkpoint.get("resume_state", {})):
        yield "a resume_state of another kind"


def _counts(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def _is_seed(value: object) -> bool:
    return value is None or (_counts(value) and value < 1 << 32)


def _is_scheduler(state: object) -> bool:
    if not isinstance(state, Mapping) or not all(isinstance(key, str) for key in state):
        return False
    progress = [state[key] for key in PROGRESS & state.keys() - {"_last_value"}]
    return all(isinstance(value, Real) for value in progress)


def _is_resume_state(state: object) -> bool:
    if not isinstance(state, Mapping) or not _is_seed(state.get("sampler_seed")):
        return False
    before = capture_random_state()
    try:
        for each in state.get("random_states") or []:
            restore_random_state(each)
    except Exception:  # numpy, torch and Python each have their own for it
        return False
    finally:
        restore_random_state(before)
    return True
