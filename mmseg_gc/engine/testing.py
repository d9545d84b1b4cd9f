"""What makes a config ready for a test run of given weights."""

import sys
from pathlib import Path

from mmengine.config import Config

from mmseg_gc.config import is_detection
from mmseg_gc.errors import UserError


def prepare_test(
    cfg: Config,
    weights: str | Path,
    *,
    aug_test: bool = False,
    precision: str = "fp32",
    compile: bool = False,
) -> None:
    """Let ``cfg`` test ``weights`` with a progress bar; ``aug_test`` takes its scales and flips.

    ``precision`` and ``compile`` are what `prepare_for_inference` is called with.

    Raises:
        UserError: ``aug_test`` without a ``tta_pipeline`` in the config, or another precision or
            ``compile`` for a detector.
    """
    cfg.load_from = str(weights)
    cfg.resume = False
    hooks = cfg.get("default_hooks") or {}
    logger = {"type": "LoggerHook", **(hooks.get("logger") or {}), "interval": sys.maxsize}
    cfg.default_hooks = {**hooks, "logger": logger}  # the bar shows the progress
    added = [dict(type="mmseg_gc.ProgressBarHook")]
    if is_detection(cfg):
        if compile or precision != "fp32":
            raise UserError("--precision and --compile are for segmentors; leave them out.")
    else:
        cfg.model.pretrained = None  # the checkpoint has it all; nothing needs to be fetched
        added.insert(0, dict(type="PrepareModelHook", precision=precision, compile=compile))
    cfg.custom_hooks = [*(cfg.get("custom_hooks") or []), *added]
    if not aug_test:
        return
    if "tta_pipeline" not in cfg:
        raise UserError(f"--aug-test: {cfg.filename} has no tta_pipeline; add one to it.")
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    cfg.model = dict(**cfg.get("tta_model", dict(type="SegTTAModel")), module=cfg.model)
