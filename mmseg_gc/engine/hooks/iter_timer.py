"""Seconds, images a second and memory in every log line."""

import resource

import torch
from mmengine.dist import get_world_size
from mmengine.hooks import IterTimerHook as MMEngineIterTimerHook
from mmengine.runner import Runner

from mmseg_gc.registry import HOOKS

WINDOW = 50


@HOOKS.register_module()
class IterTimerHook(MMEngineIterTimerHook):
    """mmengine's, which also logs ``images/s`` of all ranks together over the last 50 iterations.

    On a CPU it logs ``memory`` as well, the process's peak in MiB; on a GPU mmengine does.
    """

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        hub = runner.message_hub
        assert data_batch is not None
        images = len(data_batch["inputs"]) * get_world_size()
        hub.update_scalar("train/images/s", images / hub.get_scalar("train/time").mean(WINDOW))
        if not torch.cuda.is_available():
            kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            hub.update_scalar("train/memory", kibibytes // 1024)
