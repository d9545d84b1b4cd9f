"""The registries and functions of mmsegmentation's two ``builder`` modules."""

from typing import Any

from mmseg_gc.datasets import BaseSegDataset
from mmseg_gc.models.build import (
    BACKBONES,
    HEADS,
    LOSSES,
    NECKS,
    SEGMENTORS,
    build_backbone,
    build_head,
    build_loss,
    build_neck,
    build_segmentor,
)
from mmseg_gc.registry import DATASETS, MODELS, TRANSFORMS

PIPELINES = TRANSFORMS

__all__ = [
    "BACKBONES",
    "DATASETS",
    "HEADS",
    "LOSSES",
    "MODELS",
    "NECKS",
    "PIPELINES",
    "SEGMENTORS",
    "build_backbone",
    "build_dataset",
    "build_head",
    "build_loss",
    "build_neck",
    "build_segmentor",
]


def build_dataset(cfg: dict, default_args: dict | None = None) -> BaseSegDataset:
    """Build a data set from its config of 1.x."""
    # `default_args` is 0.x's, for keys that `cfg` doesn't have.
    return DATASETS.build({**(default_args or {}), **cfg})


def __getattr__(name: str) -> Any:
    if name != "build_dataloader":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mmengine.runner import Runner

    return Runner.build_dataloader
