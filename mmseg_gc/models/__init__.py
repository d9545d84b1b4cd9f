"""Backbones, heads, losses and segmentors, all in the registry ``MODELS``."""

import importlib
import warnings

from mmseg_gc.models.backbones import ResNet, ResNetV1c, ResNetV1d, ResNeXt
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
from mmseg_gc.models.decode_heads import BaseDecodeHead, FCNHead, GCHead
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
from mmseg_gc.models.segmentors import BaseSegmentor, EncoderDecoder, SegTTAModel

__all__ = [
    "BACKBONES",
    "HEADS",
    "LOSSES",
    "SEGMENTORS",
    "build_backbone",
    "build_head",
    "build_loss",
    "build_segmentor",
    "Accuracy",
    "BaseDecodeHead",
    "BaseSegmentor",
    "BoundaryLoss",
    "ContextBlock",
    "CrossEntropyLoss",
    "DiceLoss",
    "EncoderDecoder",
    "FCNHead",
    "FocalLoss",
    "GCHead",
    "HausdorffDistanceLoss",
    "HuasdorffDisstanceLoss",
    "LovaszLoss",
    "OHEMPixelSampler",
    "OhemCrossEntropy",
    "ResNeXt",
    "ResNet",
    "ResNetV1c",
    "ResNetV1d",
    "SegDataPreProcessor",
    "SegTTAModel",
    "TverskyLoss",
    "accuracy",
    "binary_cross_entropy",
    "cross_entropy",
]


def __getattr__(name: str) -> object:
    if name != "prepare_for_inference":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(
        "mmseg_gc.models.prepare_for_inference goes with version 0.3: import it from "
        "mmseg_gc.accelerate.",
        DeprecationWarning,
        stacklevel=2,
    )
    return importlib.import_module("mmseg_gc.accelerate").prepare_for_inference
