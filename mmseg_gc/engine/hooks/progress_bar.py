"""A bar with images per second and the time left, while a model is tested."""

from collections.abc import Sequence

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from tqdm import tqdm

from mmseg_gc.registry import HOOKS
from mmseg_gc.structures import SegDataSample


@HOOKS.register_module()
class ProgressBarHook(Hook):
    """Show the progress of validation and testing as one bar over the images.

    Under several processes the bar counts this process's share.
    """

    priority = "VERY_LOW"

    def __init__(self):
        self.bar: tqdm | None = None

    def before_test_epoch(self, runner: Runner) -> None:
        self._open("test", runner.test_dataloader)

    def before_val_epoch(self, runner: Runner) -> None:
        self._open("val", runner.val_dataloader)

    def _open(self, name: str, dataloader) -> None:
        if is_main_process():
            total = len(dataloader.sampler)
            self.bar = tqdm(total=total, desc=name, unit="image", dynamic_ncols=True)

    def _after_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[SegDataSample] | None = None,
        mode: str = "train",
    ) -> None:
        if self.bar is not None and mode != "train":
            self.bar.update(len(outputs or ()))

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        self._close()

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        self._close()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
