"""Losses for the log, read from the device when a log line is due."""

from mmengine.hooks import RuntimeInfoHook as MMEngineRuntimeInfoHook
from mmengine.runner import Runner
from torch import Tensor

from mmseg_gc.engine.late_values import record
from mmseg_gc.registry import HOOKS


@HOOKS.register_module()
class RuntimeInfoHook(MMEngineRuntimeInfoHook):
    """mmengine's, but the host doesn't wait for a model's outputs in every iteration."""

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
