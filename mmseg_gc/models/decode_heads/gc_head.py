"""The GCNet head."""

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor

from mmseg_gc.models.decode_heads.fcn_head import FCNHead, FCNHeadOptions
from mmseg_gc.models.layers import ContextBlock
from mmseg_gc.registry import MODELS


@MODELS.register_module()
class GCHead(FCNHead):
    """`FCNHead` of two convolutions with a `ContextBlock` between them, which has the new keys.

    Source: arXiv:1904.11492; ``mmseg.models.GCHead``.
    """

    known_by = ("convs", "gc_block")

    def __init__(
        self,
        *,
        in_channels: int | Sequence[int],
        channels: int,
        num_classes: int,
        ratio: float = 1 / 4,
        pooling_type: str = "att",
        fusion_types: Sequence[str] = ("channel_add",),
        **options: Unpack[FCNHeadOptions],
    ) -> None:
        super().__init__(
            in_channels=in_channels,
            channels=channels,
            num_classes=num_classes,
            num_convs=2,
            **options,
        )
        self.gc_block = ContextBlock(channels, ratio, pooling_type, fusion_types)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits (N, out_channels, h, w) from the backbone's feature maps."""
        x = self._transform_inputs(inputs)  # (N, in_channels, h, w)
        feats = self.convs[0](x)  # (N, channels, h, w)
        feats = self.gc_block(feats)
        feats = self.convs[1](feats)
        if self.concat_input:
            feats = self.conv_cat(torch.cat([x, feats], dim=1))
        return self.cls_seg(feats)
