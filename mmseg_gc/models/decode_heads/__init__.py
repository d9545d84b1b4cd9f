"""Heads that turn feature maps into logits."""

from mmseg_gc.models.decode_heads.decode_head import BaseDecodeHead, upcast
from mmseg_gc.models.decode_heads.fcn_head import FCNHead
from mmseg_gc.models.decode_heads.gc_head import GCHead

__all__ = ["BaseDecodeHead", "FCNHead", "GCHead", "upcast"]
