"""Early stopping that a resumed run continues."""

from mmengine.hooks import EarlyStoppingHook as MMEngineEarlyStoppingHook
from mmengine.runner import Runner

from mmseg_gc.engine.hooks.figures import (
    GREATER_KEYS,
    require_figure,
    require_sense,
    unknown_rule,
)
from mmseg_gc.registry import HOOKS


@HOOKS.register_module()
class EarlyStoppingHook(MMEngineEarlyStoppingHook):
    """mmengine's, which keeps what it has seen so far in every checkpoint.

    A run that is resumed after its early stop ends at once, unless ``patience`` was raised.
    """

    _default_greater_keys = [*MMEngineEarlyStoppingHook._default_greater_keys, *GREATER_KEYS]

    def _init_rule(self, monitor: str) -> str:
        try:
            return super()._init_rule(monitor)
        except ValueError as error:
            raise unknown_rule("EarlyStoppingHook.monitor", monitor) from error

    def before_train(self, runner: Runner) -> None:
        require_sense(self.monitor, self.rule, "EarlyStoppingHook.monitor")
        require_figure(runner, self.monitor, "EarlyStoppingHook.monitor")

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        checkpoint["early_stopping"] = {
            "wait_count": self.wait_count,
            "best_score": float(self.best_score),
            "patience": self.patience,
            "stopped": runner.train_loop.stop_training,
        }

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if runner._resume and "early_stopping" in checkpoint:
            state = checkpoint["early_stopping"]
            self.wait_count = state["wait_count"]
            self.best_score = state["best_score"]
            patient = self.patience > state["patience"]
            runner.train_loop.stop_training = state["stopped"] and not patient
