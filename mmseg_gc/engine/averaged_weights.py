"""The running average of the weights that `EMAHook` keeps, where a run isn't a training with it."""

from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.hooks import EMAHook
from mmengine.runner import Runner

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
