"""Layers that backbones and heads share."""

from mmseg_gc.models.layers.all_reduce_batch_norm import AllReduceBatchNorm2d
from mmseg_gc.models.layers.gc_block import ContextBlock
from mmseg_gc.models.layers.res_layer import ResLayer
from mmseg_gc.models.layers.resize import Upsample, resize

__all__ = ["AllReduceBatchNorm2d", "ContextBlock", "ResLayer", "Upsample", "resize"]
