"""Backbones, heads, losses and segmentors, all in the registry ``MODELS``."""

import importlib
import warnings
from typing import Any

from mmseg_gc.models import backbones, decode_heads, necks
from mmseg_gc.models.build import (
    BACKBONES,
    HEADS,
    LOSSES,
    SEGMENTORS,
    build_backbone,
    build_head,
    build_loss,
    build_segmentor,
)
from mmseg_gc.models.data_preprocessor import SegDataPreProcessor
from mmseg_gc.models.decode_heads import BaseDecodeHead
from mmseg_gc.models.layers import ContextBlock
from mmseg_gc.models.losses import (
    Accuracy,
    BoundaryLoss,
    CrossEntropyLoss,
    DiceLoss,
    FocalLoss,
    HausdorffDistanceLoss,
    HuasdorffDisstanceLoss,
    LovaszLoss,
    OhemCrossEntropy,
    TverskyLoss,
    accuracy,
    binary_cross_entropy,
    cross_entropy,
)
from mmseg_gc.models.samplers import OHEMPixelSampler
from mmseg_gc.models.segmentors import (
    BaseSegmentor,
    CascadeEncoderDecoder,
    EncoderDecoder,
    SegTTAModel,
)
from mmseg_gc.registry import MODELS

__all__ = [
    "Accuracy",
    "BACKBONES",
    "BaseDecodeHead",
    "BaseSegmentor",
    "BoundaryLoss",
    "CascadeEncoderDecoder",
    "ContextBlock",
    "CrossEntropyLoss",
    "DiceLoss",
    "EncoderDecoder",
    "FocalLoss",
    "HEADS",
    "HausdorffDistanceLoss",
    "HuasdorffDisstanceLoss",
    "LOSSES",
    "LovaszLoss",
    "OHEMPixelSampler",
    "OhemCrossEntropy",
    "SEGMENTORS",
    "SegDataPreProcessor",
    "SegTTAModel",
    "TverskyLoss",
    "accuracy",
    "binary_cross_entropy",
    "build_backbone",
    "build_head",
    "build_loss",
    "build_segmentor",
    "cross_entropy",
]
# Backbones, necks and heads bring their own names: what their files register.
for _part in (backbones, decode_heads, necks):
    _registered = [name for name in _part.__all__ if name in MODELS.module_dict]
    globals().update({name: getattr(_part, name) for name in _registered})
    __all__ += _registered


def __getattr__(name: str) -> Any:
    if name != "prepare_for_inference":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(
        "mmseg_gc.models.prepare_for_inference goes with version 0.3: import it from "
        "mmseg_gc.accelerate.",
        DeprecationWarning,
        stacklevel=2,
    )
    return importlib.import_module("mmseg_gc.accelerate").prepare_for_inference
