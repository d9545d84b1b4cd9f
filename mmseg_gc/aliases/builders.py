"""The registries and functions of mmsegmentation's two ``builder`` modules.

0.x had a registry for each kind of module; 1.x keeps their names for the one.
"""

from typing import Any

from torch import nn

from mmseg_gc.datasets import BaseSegDataset
from mmseg_gc.registry import DATASETS, MODELS, TRANSFORMS

BACKBONES = NECKS = HEADS = LOSSES = SEGMENTORS = MODELS
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


def build_backbone(cfg: dict) -> nn.Module:
    """Build a backbone from its config."""
    return MODELS.build(cfg)


build_neck = build_head = build_loss = build_backbone


def build_segmentor(
    cfg: dict, train_cfg: dict | None = None, test_cfg: dict | None = None
) -> nn.Module:
    """Build a segmentor from its config; ``train_cfg`` and ``test_cfg`` are put into it."""
    given = {"train_cfg": train_cfg, "test_cfg": test_cfg}
    return MODELS.build({**cfg, **{k: v for k, v in given.items() if v is not None}})


def build_dataset(cfg: dict, default_args: dict | None = None) -> BaseSegDataset:
    """Build a data set from its config of 1.x."""
    # `default_args` is 0.x's, for keys that `cfg` doesn't have.
    return DATASETS.build({**(default_args or {}), **cfg})


def __getattr__(name: str) -> Any:
    if name != "build_dataloader":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mmengine.runner import Runner

    return Runner.build_dataloader
