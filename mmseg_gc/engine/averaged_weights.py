"""The running average of the weights that `EMAHook` keeps, where a run isn't a training with it."""

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager

from mmengine.hooks import EMAHook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor

from mmseg_gc.errors import UserError


@contextmanager
def averages_as_weights(runner: Runner) -> Iterator[None]:
    """Let ``runner`` test the average: what its validations scored.

    A checkpoint has the average as its weights, so that nothing is left to `EMAHook`, whose second
    model wouldn't fit the one that is prepared, or wrapped, for the test. After a training in the
    same process the average is put in for the time of the test.
    """
    hooks = list(runner.hooks)
    averaging = [hook for hook in hooks if isinstance(hook, EMAHook)]
    runner.hooks[:] = [hook for hook in hooks if hook not in averaging]
    trained_here = [hook for hook in averaging if hasattr(hook, "ema_model")]
    for hook in trained_here:
        hook.before_test_epoch(runner)
    try:
        yield
    finally:
        for hook in trained_here:
            hook.after_test_epoch(runner)
        runner.hooks[:] = hooks


def require_average_begins(runner: Runner) -> None:
    """Refuse an average that would begin after the training.

    Raises:
        UserError: names the key of the hook.
    """
    for hook in runner.hooks:
        if isinstance(hook, EMAHook):
            for unit in ("iter", "epoch"):
                begin, last = getattr(hook, f"begin_{unit}"), getattr(runner, f"max_{unit}s")
                if begin > last:
                    raise UserError(
                        f"config key custom_hooks: EMAHook's begin_{unit} is {begin}, but "
                        f"train_cfg.max_{unit}s is {last}; let it begin earlier."
                    )


def fit_average(runner: Runner, checkpoint: MutableMapping, source: str) -> None:
    """See that `EMAHook` can take up the average of ``checkpoint``.

    With ``strict_load=False`` what doesn't fit starts anew, from the model as it is built.

    Raises:
        UserError: it has other tensors than the model.
    """
    average, weights = checkpoint.get("ema_state_dict"), checkpoint["state_dict"]
    if average is None:
        return
    if not isinstance(average, MutableMapping):
        raise UserError(f"{source} can't be resumed from: its average is no dict of tensors.")
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    own = {f"module.{name}": value for name, value in model.state_dict().items()}
    misfits = [
        name
        for name, value in own.items()
        for other in (average.get(name), weights.get(name.removeprefix("module.")))
        if not isinstance(other, Tensor) or other.shape != value.shape
    ]
    misfits += [name for name in average if name.startswith("module.") and name not in own]
    if not misfits:
        return
    misfits = list(dict.fromkeys(misfits))
    what = f"{source}: the average of {len(misfits)} tensors, first {misfits[0]}, doesn't fit"
    if runner.cfg.get("strict_load", True):
        raise UserError(f"{what} the model; use its own config, or pass --non-strict.")
    runner.logger.warning(f"{what} and starts anew.")
    for name in misfits:
        average.pop(name, None)
        weights.pop(name.removeprefix("module."), None)
        if name in own:
            average[name] = own[name].clone()
            weights[name.removeprefix("module.")] = own[name].clone()
