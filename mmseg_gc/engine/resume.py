"""Find the checkpoint to go on from, and see that a run can."""

import re
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from mmengine.hooks import EMAHook
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner

from mmseg_gc.checkpoint import DamagedCheckpointError, read_checkpoint
from mmseg_gc.engine.finite_state import require_finite_checkpoint
from mmseg_gc.errors import UserError

# Either of them tells the families of optimizers apart.
TELLING_OPTIONS = {"momentum", "betas"}


def newest_checkpoint(work_dir: str | Path) -> str | None:
    """The newest whole checkpoint of ``work_dir`` that a run can go on from; None without any.

    ``last_checkpoint`` names the first to be tried; the others follow by their age. A damaged one
    is passed over with a warning that names it.

    Raises:
        UserError: there are checkpoints, and all are damaged; or one could run code.
    """
    logger = MMLogger.get_current_instance()
    candidates = _candidates(Path(work_dir))
    for path in candidates:
        try:
            checkpoint = read_checkpoint(path)
        except DamagedCheckpointError as error:
            logger.warning(f"Passed over: {error}")
            continue
        if "optimizer" in checkpoint:
            return str(path)
        logger.warning(f"Passed over: {path} has weights alone and can't be resumed from.")
    if candidates:
        raise UserError(
            f"none of the {len(candidates)} checkpoints in {work_dir} can be resumed from; remove "
            "them to begin anew, or name another one: --resume CHECKPOINT."
        )
    return None


def _candidates(work_dir: Path) -> list[Path]:
    files = [path for path in work_dir.glob("*.pth") if re.search(r"^[a-z]+_\d+\.pth$", path.name)]
    files.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
    pointer = work_dir / "last_checkpoint"
    named = pointer.read_text().strip() if pointer.is_file() else ""
    if not named:
        return files
    # The folder may have been moved since.
    last = next((p for p in (Path(named), work_dir / Path(named).name) if p.is_file()), None)
    return files if last is None else [last, *[path for path in files if path.name != last.name]]


def require_resumable(runner: Runner, checkpoint: MutableMapping, source: str) -> None:
    """See that ``runner`` can go on from ``checkpoint``; without `EMAHook`, from its own weights.

    Raises:
        UserError: it has no training state, another optimizer's, or one that isn't numbers.
    """
    lacking = {"meta", "message_hub", "optimizer"} - checkpoint.keys()
    if lacking:
        raise UserError(
            f"{source} can't be resumed from: it has no {', '.join(sorted(lacking))}; pass it as "
            "--cfg-options load_from=… to start from its weights."
        )
    require_finite_checkpoint(checkpoint, source, as_built=runner.spoilt_as_built)
    if not isinstance(runner.optim_wrapper, OptimWrapperDict):
        _require_same_groups(runner.optim_wrapper, checkpoint["optimizer"], source)
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


def _require_same_groups(optim_wrapper: OptimWrapper, saved: Mapping, source: str) -> None:
    """Refuse an optimizer's state that isn't of the config's optimizer.

    Raises:
        UserError: another number of parameters or groups, or another family of optimizers.
    """
    groups = optim_wrapper.optimizer.param_groups
    counts = [[len(group["params"]) for group in side] for side in (groups, saved["param_groups"])]
    what = None
    if counts[0] != counts[1]:
        what = (
            f"{sum(counts[1])} parameters in {len(counts[1])} groups, the config makes "
            f"{sum(counts[0])} in {len(counts[0])} (optim_wrapper.paramwise_cfg and frozen parts)"
        )
    elif lacking := TELLING_OPTIONS & groups[0].keys() - saved["param_groups"][0].keys():
        what = (
            f"no {lacking.pop()}, which the config's optimizer has (optim_wrapper.optimizer.type)"
        )
    if what:
        raise UserError(
            f"{source} can't be resumed from: its optimizer has {what}; keep those of the "
            "checkpoint, or pass it as --cfg-options load_from=… to start from its weights."
        )
