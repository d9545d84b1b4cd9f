"""Layers that backbones and heads share."""

from mmseg_gc.models.layers.all_reduce_batch_norm import AllReduceBatchNorm2d
from mmseg_gc.models.layers.attention import PyramidRows, SelfAttentionBlock, as_rows, attend
from mmseg_gc.models.layers.encoding import ContextEncoding, Encoding
from mmseg_gc.models.layers.gc_block import ContextBlock
from mmseg_gc.models.layers.non_local import DisentangledNonLocal2d, NonLocal2d
from mmseg_gc.models.layers.pyramid_pooling import PyramidPooling, check_scales
from mmseg_gc.models.layers.res_layer import ResLayer
from mmseg_gc.models.layers.resize import Upsample, resize

__all__ = [
    "AllReduceBatchNorm2d",
    "ContextBlock",
    "ContextEncoding",
    "DisentangledNonLocal2d",
    "Encoding",
    "NonLocal2d",
    "PyramidPooling",
    "PyramidRows",
    "ResLayer",
    "SelfAttentionBlock",
    "Upsample",
    "as_rows",
    "attend",
    "check_scales",
    "resize",
]
