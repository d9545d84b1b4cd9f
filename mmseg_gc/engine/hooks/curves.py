"""The curves of a training beside its log, when it ends."""

from pathlib import Path

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmseg_gc.errors import UserError
from mmseg_gc.registry import HOOKS
from mmseg_gc.visualization.curves import draw_curves, has_log, read_log

KEYS = ("loss", "val_loss", "mIoU")


@HOOKS.register_module()
class CurvesHook(Hook):
    """Draw ``keys``, those that were logged, into ``curves.png`` of the work dir.

    A run that was resumed has one line. What can't be drawn never fails a training: it is told.
    """

    priority = "LOWEST"  # after the last checkpoint

    def __init__(self, keys: list[str] | tuple[str, ...] = KEYS) -> None:
        self.keys = keys

    @master_only
    def after_train(self, runner: Runner) -> None:
        target = Path(runner.work_dir, "curves.png")
        if not has_log(target.parent):
            runner.logger.info(
                "No curves are drawn: no numbers were logged. default_hooks.logger.interval is "
                "above the iterations of this run, or the visualizer has no LocalVisBackend."
            )
            return
        try:
            curves = read_log(Path(runner.work_dir))
            keys = [key for key in self.keys if key in curves]
            if keys:
                draw_curves({target.parent.name: curves}, keys, None, target)
                runner.logger.info(f"Curves of {', '.join(keys)} are in {target}.")
        except UserError as error:
            runner.logger.warning(f"No curves are drawn: {error}")
