"""cuDNN's search for its fastest algorithms, where it pays."""

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from mmseg_gc.registry import HOOKS


@HOOKS.register_module()
class CudnnBenchmarkHook(Hook):
    """With ``env_cfg.cudnn_benchmark`` validate and test without it, once images differ in size.

    The search is worth its seconds for the one size that a training crops to, or that all images
    of a data set have, but it begins anew for every other size.
    """

    def __init__(self):
        self._configured = False
        self._sizes: set[tuple[int, ...]] = set()

    def _begin(self) -> None:
        self._configured = torch.backends.cudnn.benchmark
        self._sizes = set()

    def _look(self, batch: dict | None) -> None:
        if self._configured:
            inputs = batch["inputs"] if isinstance(batch, dict) else batch
            self._sizes |= _sizes_of(inputs)
            torch.backends.cudnn.benchmark = len(self._sizes) == 1

    def _end(self) -> None:
        torch.backends.cudnn.benchmark = self._configured

    def before_val_epoch(self, runner: Runner) -> None:
        self._begin()

    def before_test_epoch(self, runner: Runner) -> None:
        self._begin()

    def before_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        self._look(data_batch)

    def before_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        self._look(data_batch)

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        self._end()

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        self._end()


def _sizes_of(inputs: object) -> set[tuple[int, ...]]:
    """Heights and widths in a batch, or in the views of one."""
    if isinstance(inputs, Tensor):
        return {tuple(inputs.shape[-2:])}
    return set().union(*map(_sizes_of, inputs)) if isinstance(inputs, list | tuple) else set()
