"""Find what would make numbers wrong in how a config reads images and scores them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from mmseg_gc.config.leaf_datasets import keyed_leaf_datasets
from mmseg_gc.config.names import type_name, walk
from mmseg_gc.environment import DETECTION_SCOPE
from mmseg_gc.errors import UserError

LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")


def check_data(cfg: Mapping) -> None:
    """Refuse images that are normalised twice, labels turned alone, and scores of one name.

    Raises:
        UserError: the keys of one of them.
    """
    pipelines = list(_pipelines(cfg))
    _check_normalised_once(cfg, pipelines)
    for path, pipeline in pipelines:
        # Detectors don't turn their predictions back.
        if cfg.get("default_scope") != DETECTION_SCOPE and not path.startswith("train_"):
            _check_flips(pipeline, path)
    for key in ("val", "test"):
        sampler = (cfg.get(f"{key}_dataloader") or {}).get("sampler")
        if isinstance(sampler, Mapping) and type_name(sampler) == "InfiniteSampler":
            raise UserError(
                f"config key {key}_dataloader.sampler.type='InfiniteSampler' never ends; set it to "
                "'DefaultSampler'."
            )
        _check_evaluators(cfg.get(f"{key}_evaluator"), f"{key}_evaluator")


def _pipelines(cfg: Mapping) -> Iterator[tuple[str, Any]]:
    yield "tta_pipeline", cfg.get("tta_pipeline")
    for loader in LOADERS:
        dataset = (cfg.get(loader) or {}).get("dataset") or {}
        for key, leaf in keyed_leaf_datasets(dataset, f"{loader}.dataset"):
            yield f"{key}.pipeline", leaf.get("pipeline")


def _check_normalised_once(cfg: Mapping, pipelines: list[tuple[str, Any]]) -> None:
    preprocessor = (cfg.get("model") or {}).get("data_preprocessor")
    if not isinstance(preprocessor, Mapping) or preprocessor.get("mean") is None:
        return
    for path, pipeline in pipelines:
        for key, step in walk(pipeline, path):
            if isinstance(step, Mapping) and type_name(step) == "Normalize":
                raise UserError(
                    f"config keys {key} (Normalize) and model.data_preprocessor.mean would "
                    "normalise every image twice; take one of them out."
                )


def _check_flips(pipeline: Any, path: str) -> None:
    """Refuse a flip after the label is loaded: predictions are turned back, labels aren't."""
    loaded = None
    for key, step in walk(pipeline, path):
        if not isinstance(step, Mapping):
            continue
        if type_name(step) == "LoadAnnotations":
            loaded = key
        elif loaded and type_name(step) == "RandomFlip" and step.get("prob") != 0:
            raise UserError(
                f"config key {key} (RandomFlip) turns the label of {loaded}, but the prediction "
                "is turned back before they are compared; put LoadAnnotations after it."
            )


def _check_evaluators(evaluators: Any, path: str) -> None:
    if not isinstance(evaluators, list | tuple):
        return
    known = [e for e in evaluators if isinstance(e, Mapping) and type_name(e) == "IoUMetric"]
    for prefix, count in Counter(e.get("prefix") or "" for e in known).items():
        if count > 1:
            named = f"the prefix {prefix!r}" if prefix else "no prefix"
            raise UserError(
                f"config key {path} has {count} IoUMetric with {named}, whose figures would have "
                "one name; give each a prefix of its own."
            )
