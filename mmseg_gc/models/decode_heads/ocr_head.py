"""The object-contextual representations head."""

from collections.abc import Sequence
from typing import Any, Unpack

import torch
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmseg_gc.errors import UserError
from mmseg_gc.models.decode_heads.cascade_decode_head import BaseCascadeDecodeHead
from mmseg_gc.models.decode_heads.decode_head import DecodeHeadOptions
from mmseg_gc.models.layers import SelfAttentionBlock, as_rows
from mmseg_gc.registry import MODELS


class ObjectAttention(SelfAttentionBlock):
    """What each position gathers from the objects, beside the position itself."""

    def __init__(self, in_channels: int, channels: int, scale: int, **layer_cfgs: Any) -> None:
        super().__init__(
            key_in_channels=in_channels,
            query_in_channels=in_channels,
            channels=channels,
            out_channels=in_channels,
            query_downsample=nn.MaxPool2d(scale) if scale > 1 else None,
            key_query_num_convs=2,
            value_out_norm=True,
            **layer_cfgs,
        )
        self.bottleneck = ConvModule(2 * in_channels, in_channels, 1, **layer_cfgs)

    def forward(self, query_feats: Tensor, key_feats: Tensor) -> Tensor:
        gathered = super().forward(query_feats, key_feats)
        if self.query_downsample is not None:
            size = query_feats.shape[2:]
            gathered = torch.nn.functional.interpolate(gathered, size, mode="bilinear")
        return self.bottleneck(torch.cat([gathered, query_feats], dim=1))


@MODELS.register_module()
class OCRHead(BaseCascadeDecodeHead):
    """Each position with what it gathers from the regions that the head before it saw.

    A region, one a class, is the mean of all positions by the softmax of its logits times
    ``scale``. Positions and regions are compared in ``ocr_channels``.

    Raises: UserError for a scale below 1.
    Source: "Object-Contextual Representations for Semantic Segmentation", arXiv:1909.11065,
    section 3.2; ``mmseg.models.OCRHead``.
    """

    known_by = ("object_context_block",)

    def __init__(
        self,
        *,
        in_channels: int | Sequence[int],
        channels: int,
        num_classes: int,
        ocr_channels: int,
        scale: int = 1,
        **options: Unpack[DecodeHeadOptions],
    ) -> None:
        if scale < 1:
            raise UserError(f"{type(self).__name__} needs a scale from 1 on, not scale={scale}.")
        super().__init__(in_channels, channels, num_classes=num_classes, **options)
        self.scale = scale
        self.object_context_block = ObjectAttention(
            channels, ocr_channels, scale, **self.layer_cfgs
        )
        self.bottleneck = self._conv_module(self.in_channels, channels, 3)

    def forward(  # type: ignore[override]
        self, inputs: Sequence[Tensor], prev_output: Tensor
    ) -> Tensor:
        """Logits (N, out_channels, h, w) from feature maps and the logits of another head."""
        feats = self.bottleneck(self._transform_inputs(inputs))  # (N, channels, h, w)
        prev_output = self._resized(prev_output, feats.shape[2:])
        weights = (self.scale * prev_output.flatten(2)).softmax(dim=2)  # (N, classes, h*w)
        regions = weights.to(feats.dtype) @ as_rows(feats)  # (N, classes, channels)
        regions = regions.transpose(1, 2).unsqueeze(3)  # (N, channels, classes, 1)
        return self.cls_seg(self.object_context_block(feats, regions))
