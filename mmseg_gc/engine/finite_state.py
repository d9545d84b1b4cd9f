"""What a training would save or go on from has to be numbers."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from mmengine.hooks import EMAHook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner

from mmseg_gc.errors import UserError
from mmseg_gc.finite import listed, spoilt

AVERAGE, AVERAGED = "the average of ", "the averaged "


def require_finite_run(
    runner: Runner, path: str | Path, *, as_built: Iterable[str], save_optimizer: bool
) -> None:
    """Refuse to write ``path`` with weights, statistics, averages or momenta that aren't numbers.

    ``as_built`` are names of buffers that hold infinity by design. Waits for the device once.

    Raises:
        UserError: names the first tensors, and the checkpoint to go back to.
    """
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    tensors = dict(model.state_dict())
    for hook in runner.hooks:
        if isinstance(hook, EMAHook):
            tensors |= {AVERAGE + k: v for k, v in hook.ema_model.module.state_dict().items()}
    by_design = _by_design(as_built)
    if save_optimizer:
        names = {parameter: name for name, parameter in model.named_parameters()}
        wrapper = runner.optim_wrapper
        for each in wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]:
            states = each.optimizer.state.items()
            tensors |= _momenta({names.get(p, "a parameter"): state for p, state in states})
    if bad := [name for name in spoilt(tensors) if name not in by_design]:
        pointer = Path(runner.work_dir, "last_checkpoint")
        last = (
            f"go on from {pointer.read_text('utf-8', 'replace')}"
            if pointer.is_file()
            else "begin anew"
        )
        raise UserError(
            f"{path} isn't written: the training diverged, and {listed(bad)} hold NaN, infinity or "
            f"a negative variance; lower optim_wrapper.optimizer.lr and {last}."
        )


def require_finite_checkpoint(
    checkpoint: Mapping, source: str | Path, *, as_built: Iterable[str]
) -> None:
    """Refuse to go on from weights, averages or momenta that aren't numbers.

    Raises:
        UserError: names the first of them.
    """
    tensors = dict(checkpoint.get("state_dict", {}))
    # `EMAHook` keeps the average there, and here what was averaged.
    averaged = checkpoint.get("ema_state_dict", {})
    tensors |= {AVERAGED + name.removeprefix("module."): v for name, v in averaged.items()}
    by_design = _by_design(as_built)
    states = checkpoint["optimizer"].get("state", {})
    tensors |= _momenta({f"parameter {number}": state for number, state in states.items()})
    if bad := [name for name in spoilt(tensors) if name not in by_design]:
        raise UserError(
            f"{source} can't be resumed from: {listed(bad)} hold NaN, infinity or a negative "
            "variance, as after a training that diverged; take an older checkpoint."
        )


def _by_design(as_built: Iterable[str]) -> set[str]:
    return {prefix + name for name in as_built for prefix in ("", AVERAGE, AVERAGED)}


def _momenta(states: Mapping[str, Mapping]) -> dict[str, object]:
    return {
        f"{key} of {name}": value for name, state in states.items() for key, value in state.items()
    }
