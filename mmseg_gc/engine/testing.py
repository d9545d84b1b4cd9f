"""What makes a config ready for a test run of given weights."""

import sys
from pathlib import Path

from mmengine.config import Config

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
        UserError: ``aug_test`` without a ``tta_pipeline`` in the config.
    """
    cfg.load_from = str(weights)
    cfg.resume = False
    cfg.model.pretrained = None  # the checkpoint has it all; nothing else needs to be fetched
    hooks = cfg.get("default_hooks") or {}
    logger = {"type": "LoggerHook", **(hooks.get("logger") or {}), "interval": sys.maxsize}
    cfg.default_hooks = {**hooks, "logger": logger}  # the bar shows the progress
    cfg.custom_hooks = [
        *(cfg.get("custom_hooks") or []),
        dict(type="PrepareModelHook", precision=precision, compile=compile),
        dict(type="ProgressBarHook"),
    ]
    if not aug_test:
        return
    if "tta_pipeline" not in cfg:
        raise UserError(f"--aug-test: {cfg.filename} has no tta_pipeline; add one to it.")
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    cfg.model = dict(**cfg.get("tta_model", dict(type="SegTTAModel")), module=cfg.model)
