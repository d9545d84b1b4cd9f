"""Layers that backbones and heads share."""

from mmseg_gc.models.layers.gc_block import ContextBlock
from mmseg_gc.models.layers.res_layer import ResLayer
from mmseg_gc.models.layers.resize import resize, wide
from mmseg_gc.models.layers.sync_bn import AllReduceBatchNorm2d, adapt_sync_bn

__all__ = ["AllReduceBatchNorm2d", "ContextBlock", "ResLayer", "adapt_sync_bn", "resize", "wide"]
