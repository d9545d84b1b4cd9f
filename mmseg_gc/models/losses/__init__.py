"""Losses and the accuracy shown beside them."""

from mmseg_gc.models.losses.accuracy import Accuracy, accuracy
from mmseg_gc.models.losses.boundary_loss import BoundaryLoss
from mmseg_gc.models.losses.cross_entropy import (
    CrossEntropyLoss,
    binary_cross_entropy,
    cross_entropy,
)
from mmseg_gc.models.losses.dice_loss import DiceLoss
from mmseg_gc.models.losses.focal_loss import FocalLoss
from mmseg_gc.models.losses.hausdorff_distance_loss import HausdorffDistanceLoss
from mmseg_gc.models.losses.lovasz_loss import LovaszLoss
from mmseg_gc.models.losses.ohem_cross_entropy import OhemCrossEntropy
from mmseg_gc.models.losses.reduction import (
    get_class_weight,
    reduce_loss,
    weight_reduce_loss,
    weighted_loss,
)
from mmseg_gc.models.losses.tversky_loss import TverskyLoss

HuasdorffDisstanceLoss = HausdorffDistanceLoss  # as mmsegmentation spells it

__all__ = [
    "Accuracy",
    "BoundaryLoss",
    "CrossEntropyLoss",
    "DiceLoss",
    "FocalLoss",
    "HausdorffDistanceLoss",
    "HuasdorffDisstanceLoss",
    "LovaszLoss",
    "OhemCrossEntropy",
    "TverskyLoss",
    "accuracy",
    "binary_cross_entropy",
    "cross_entropy",
    "get_class_weight",
    "reduce_loss",
    "weight_reduce_loss",
    "weighted_loss",
]
