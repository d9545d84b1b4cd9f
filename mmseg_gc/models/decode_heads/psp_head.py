"""The pyramid scene parsing head."""

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor

from mmseg_gc.models.decode_heads.decode_head import BaseDecodeHead, DecodeHeadOptions
from mmseg_gc.models.layers import PyramidPooling, check_scales
from mmseg_gc.registry import MODELS


@MODELS.register_module()
class PSPHead(BaseDecodeHead):
    """The input beside itself pooled to each of ``pool_scales``, then one convolution.

    Raises: UserError for scales that are none.
    Source: "Pyramid Scene Parsing Network", arXiv:1612.01105, section 3.2;
    ``mmseg.models.PSPHead``.
    """

    known_by = ("psp_modules",)

    def __init__(
        self,
        *,
        in_channels: int | Sequence[int],
        channels: int,
        num_classes: int,
        pool_scales: Sequence[int] = (1, 2, 3, 6),
        **options: Unpack[DecodeHeadOptions],
    ) -> None:
        check_scales(type(self).__name__, "pool_scales", pool_scales)
        super().__init__(in_channels, channels, num_classes=num_classes, **options)
        self.psp_modules = PyramidPooling(
            pool_scales,
            self.in_channels,
            channels,
            align_corners=self.align_corners,
            **self.layer_cfgs,
        )
        width = self.in_channels + len(pool_scales) * channels
        self.bottleneck = self._conv_module(width, channels, 3)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits (N, out_channels, h, w) from the backbone's feature maps."""
        x = self._transform_inputs(inputs)  # (N, in_channels, h, w)
        feats = self.bottleneck(torch.cat([x, *self.psp_modules(x)], dim=1))
        return self.cls_seg(feats)
