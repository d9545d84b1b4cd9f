"""Ask a test for a report."""

from mmengine.config import Config
from mmengine.dist import is_main_process

from mmseg_gc.config import is_detection
from mmseg_gc.config.unlabelled import has_labels
from mmseg_gc.engine.console import is_brief
from mmseg_gc.errors import UserError
from mmseg_gc.report.files import check_target


def request_report(cfg: Config, path: str, *, config: str, checkpoint: str, option: str) -> None:
    """Let the test of ``cfg`` write a report to ``path``, which ``option`` names.

    ``config`` and ``checkpoint`` are what the report says was tested.

    Raises:
        UserError: ``cfg`` is a detector's or its data has no labels, or ``path`` can't be written.
    """
    if is_detection(cfg):
        raise UserError(f"{option} is for segmentors; leave it out.")
    if not has_labels(cfg.test_dataloader.dataset):
        raise UserError(f"{option} {path}: {config} has no labels to report on; name their folder.")
    check_target(path, option)
    hook = dict(type="mmseg_gc.ReportHook", path=path, config=config, checkpoint=checkpoint)
    cfg.custom_hooks = [hook, *(cfg.get("custom_hooks") or [])]


def tell_of_report(cfg: Config, path: str) -> None:
    """Say where the page is, on a screen that doesn't show the log, which says so."""
    if is_brief(cfg.screen) and is_main_process():
        print(f"The report is {path}; its figures are beside it.")
