"""Heads that turn feature maps into logits."""

from mmseg_gc.models.decode_heads.ann_head import ANNHead
from mmseg_gc.models.decode_heads.apc_head import APCHead
from mmseg_gc.models.decode_heads.aspp_head import ASPPHead
from mmseg_gc.models.decode_heads.cascade_decode_head import BaseCascadeDecodeHead, Cascade
from mmseg_gc.models.decode_heads.da_head import DAHead
from mmseg_gc.models.decode_heads.decode_head import BaseDecodeHead, upcast
from mmseg_gc.models.decode_heads.dm_head import DMHead
from mmseg_gc.models.decode_heads.dnl_head import DNLHead
from mmseg_gc.models.decode_heads.ema_head import EMAHead
from mmseg_gc.models.decode_heads.enc_head import EncHead
from mmseg_gc.models.decode_heads.fcn_head import FCNHead
from mmseg_gc.models.decode_heads.fpn_head import FPNHead
from mmseg_gc.models.decode_heads.gc_head import GCHead
from mmseg_gc.models.decode_heads.isa_head import ISAHead
from mmseg_gc.models.decode_heads.nl_head import NLHead
from mmseg_gc.models.decode_heads.ocr_head import OCRHead
from mmseg_gc.models.decode_heads.psp_head import PSPHead
from mmseg_gc.models.decode_heads.sep_aspp_head import DepthwiseSeparableASPPHead
from mmseg_gc.models.decode_heads.sep_fcn_head import DepthwiseSeparableFCNHead
from mmseg_gc.models.decode_heads.uper_head import UPerHead

__all__ = [
    "ANNHead",
    "APCHead",
    "ASPPHead",
    "BaseCascadeDecodeHead",
    "BaseDecodeHead",
    "Cascade",
    "DAHead",
    "DMHead",
    "DNLHead",
    "DepthwiseSeparableASPPHead",
    "DepthwiseSeparableFCNHead",
    "EMAHead",
    "EncHead",
    "FCNHead",
    "FPNHead",
    "GCHead",
    "ISAHead",
    "NLHead",
    "OCRHead",
    "PSPHead",
    "UPerHead",
    "upcast",
]
