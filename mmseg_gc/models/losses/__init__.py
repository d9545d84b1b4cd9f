"""Losses and the accuracy shown beside them."""

from mmseg_gc.models.losses.accuracy import Accuracy, accuracy
from mmseg_gc.models.losses.cross_entropy import (
    CrossEntropyLoss,
    binary_cross_entropy,
    cross_entropy,
)

__all__ = ["Accuracy", "CrossEntropyLoss", "accuracy", "binary_cross_entropy", "cross_entropy"]
