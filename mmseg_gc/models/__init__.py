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
from mmseg_gc.models.decode_heads import (
    ANNHead,
    APCHead,
    ASPPHead,
    BaseDecodeHead,
    DAHead,
    DepthwiseSeparableASPPHead,
    DepthwiseSeparableFCNHead,
    DMHead,
    DNLHead,
    EMAHead,
    EncHead,
    FCNHead,
    FPNHead,
    GCHead,
    ISAHead,
    NLHead,
    OCRHead,
    PSPHead,
    UPerHead,
)
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
from mmseg_gc.models.necks import FPN, JPU
from mmseg_gc.models.samplers import OHEMPixelSampler
from mmseg_gc.models.segmentors import (
    BaseSegmentor,
    CascadeEncoderDecoder,
    EncoderDecoder,
    SegTTAModel,
)

__all__ = [
    "ANNHead",
    "APCHead",
    "ASPPHead",
    "Accuracy",
    "BACKBONES",
    "BaseDecodeHead",
    "BaseSegmentor",
    "BoundaryLoss",
    "CascadeEncoderDecoder",
    "ContextBlock",
    "CrossEntropyLoss",
    "DAHead",
    "DMHead",
    "DNLHead",
    "DepthwiseSeparableASPPHead",
    "DepthwiseSeparableFCNHead",
    "DiceLoss",
    "EMAHead",
    "EncHead",
    "EncoderDecoder",
    "FCNHead",
    "FPN",
    "FPNHead",
    "FocalLoss",
    "GCHead",
    "HEADS",
    "HausdorffDistanceLoss",
    "HuasdorffDisstanceLoss",
    "ISAHead",
    "JPU",
    "LOSSES",
    "LovaszLoss",
    "NLHead",
    "OCRHead",
    "OHEMPixelSampler",
    "OhemCrossEntropy",
    "PSPHead",
    "ResNeXt",
    "ResNet",
    "ResNetV1c",
    "ResNetV1d",
    "SEGMENTORS",
    "SegDataPreProcessor",
    "SegTTAModel",
    "TverskyLoss",
    "UPerHead",
    "accuracy",
    "binary_cross_entropy",
    "build_backbone",
    "build_head",
    "build_loss",
    "build_segmentor",
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
