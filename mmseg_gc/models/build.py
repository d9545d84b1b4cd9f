"""Build parts of a model from their configs, by the names that mmsegmentation has for it.

0.x had a registry for each kind of part; 1.x keeps their names for the one.
"""

from torch import nn

from mmseg_gc.registry import MODELS

BACKBONES = NECKS = HEADS = LOSSES = SEGMENTORS = MODELS


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
