"""Losses for the log, read from the device when a log line is due; figures of each class."""

from mmengine.hooks import LoggerHook
from mmengine.hooks import RuntimeInfoHook as MMEngineRuntimeInfoHook
from mmengine.runner import Runner
from torch import Tensor

from mmseg_gc.engine.hooks.figures import class_scalars
from mmseg_gc.engine.late_values import record
from mmseg_gc.registry import HOOKS


@HOOKS.register_module()
class RuntimeInfoHook(MMEngineRuntimeInfoHook):
    """mmengine's, but the host doesn't wait for a model's outputs in every iteration.

    Figures of single classes, of which there may be hundreds, go to the visualizer's backends and
    not into the log line of a validation.
    """

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        others = {}
        for key, value in (outputs or {}).items():
            if isinstance(value, Tensor) and value.numel() == 1:
                record(runner.message_hub, f"train/{key}", value)
            else:
                others[key] = value
        super().after_train_iter(runner, batch_idx, data_batch, others)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        of_classes = class_scalars(runner.val_evaluator)
        others = {key: value for key, value in (metrics or {}).items() if key not in of_classes}
        super().after_val_epoch(runner, others)
        if of_classes:
            by_epoch = any(
                isinstance(h, LoggerHook) and h.log_metric_by_epoch for h in runner.hooks
            )
            step = runner.epoch if by_epoch else runner.iter
            runner.visualizer.add_scalars(of_classes, step=step)
