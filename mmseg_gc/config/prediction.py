"""What makes a config ready for a test run of given weights."""

import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmseg_gc.config import is_detection
from mmseg_gc.config.leaf_datasets import leaf_datasets
from mmseg_gc.errors import UserError
from mmseg_gc.registry import METRICS


def prepare_test(
    cfg: Config,
    weights: str | Path,
    *,
    aug_test: bool = False,
    precision: str = "fp32",
    compile: bool = False,
) -> None:
    """Let ``cfg`` test ``weights`` with a progress bar; ``aug_test`` takes its scales and flips.

    ``cfg`` is what `load_config` returned. ``precision`` and ``compile`` are what
    `prepare_for_inference` is called with.

    Raises:
        UserError: ``aug_test`` without a ``tta_pipeline`` in the config, or another precision or
            ``compile`` for a detector.
    """
    cfg.load_from = str(weights)
    cfg.resume = False
    hooks = cfg.get("default_hooks") or {}
    logger = {"type": "LoggerHook", **(hooks.get("logger") or {}), "interval": sys.maxsize}
    cfg.default_hooks = {**hooks, "logger": logger}  # the bar shows the progress
    added: list[dict[str, Any]] = [dict(type="mmseg_gc.ProgressBarHook")]
    if is_detection(cfg):
        if compile or precision != "fp32":
            raise UserError("--precision and --compile are for segmentors; leave them out.")
    else:
        cfg.model.pretrained = None  # the checkpoint has it all; nothing needs to be fetched
        added.insert(0, dict(type="PrepareModelHook", precision=precision, compile=compile))
        added.append(dict(type="ResultNamesHook"))
    cfg.custom_hooks = [*(cfg.get("custom_hooks") or []), *added]
    if not aug_test:
        return
    for leaf in leaf_datasets(cfg.test_dataloader.dataset):
        leaf["pipeline"] = views_pipeline(cfg, leaf)
    # A runner would hand the top level's to the outer model, which would replace the inner one's.
    cfg.pop("data_preprocessor", None)
    cfg.model = dict(**cfg.get("tta_model", dict(type="SegTTAModel")), module=cfg.model)


def views_pipeline(cfg: Config, dataset: Mapping) -> list[dict]:
    """The steps of the config's ``tta_pipeline``, with the loader that ``dataset``'s pipeline has.

    The network was trained on what that one reads; a base file's ``tta_pipeline`` has the default.

    Raises:
        UserError: the config has no ``tta_pipeline``.
    """
    if not cfg.get("tta_pipeline"):
        raise UserError(f"--aug-test: {cfg.filename} has no tta_pipeline; add one to it.")
    steps = list(cfg.tta_pipeline)
    own = list(dataset.get("pipeline") or ())
    if own and _loads(own[0]) and _loads(steps[0]):
        steps[0] = own[0]
    return steps


def write_predictions(cfg: Config, folder: str) -> None:
    """Let the first evaluator that can write label maps write them to ``folder``.

    Raises:
        UserError: none can.
    """
    evaluators = cfg.test_evaluator
    for evaluator in evaluators if isinstance(evaluators, list | tuple) else [evaluators]:
        kind = evaluator["type"]
        takes = _keywords(METRICS.get(kind) if isinstance(kind, str) else kind)
        if "output_dir" in takes:
            evaluator["output_dir"] = folder
            if "keep_results" in takes:  # of `CityscapesMetric`, which else deletes them
                evaluator["keep_results"] = True
            return
    raise UserError(
        f"--out {folder}: no evaluator of {cfg.filename} writes label maps; add "
        'dict(type="IoUMetric") to test_evaluator.'
    )


def _keywords(component: type) -> set[str]:
    inits = [vars(owner).get("__init__") for owner in component.__mro__[:-1]]
    return {name for init in inits if init for name in inspect.signature(init).parameters}


def _loads(step: Mapping) -> bool:
    kind = step["type"]
    return (kind if isinstance(kind, str) else kind.__name__).startswith("LoadImage")
