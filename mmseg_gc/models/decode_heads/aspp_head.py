"""The head of DeepLabV3: atrous spatial pyramid pooling."""

from collections.abc import Sequence
from typing import ClassVar, Unpack

import torch
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmseg_gc.models.decode_heads.decode_head import BaseDecodeHead, DecodeHeadOptions
from mmseg_gc.models.layers import check_scales, resize
from mmseg_gc.registry import MODELS


@MODELS.register_module()
class ASPPHead(BaseDecodeHead):
    """The mean of the image beside a convolution of each of ``dilations``, then one more.

    A dilation of 1 stands for a 1x1 convolution, the others are 3x3.

    Raises: UserError for dilations that are none.
    Source: "Rethinking Atrous Convolution for Semantic Image Segmentation", arXiv:1706.05587,
    section 3.3; ``mmseg.models.ASPPHead``.
    """

    known_by: ClassVar[tuple[str, ...]] = ("aspp_modules",)

    def __init__(
        self,
        *,
        in_channels: int | Sequence[int],
        channels: int,
        num_classes: int,
        dilations: Sequence[int] = (1, 6, 12, 18),
        **options: Unpack[DecodeHeadOptions],
    ) -> None:
        check_scales(type(self).__name__, "dilations", dilations)
        super().__init__(in_channels, channels, num_classes=num_classes, **options)
        self.dilations = dilations
        self.image_pool = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), self._conv_module(self.in_channels, channels, 1)
        )
        self.aspp_modules = nn.ModuleList(
            self._conv_module(self.in_channels, channels, 1)
            if dilation == 1
            else self._atrous(dilation)
            for dilation in dilations
        )
        self.bottleneck = self._conv_module((len(dilations) + 1) * channels, channels, 3)

    def _atrous(self, dilation: int) -> nn.Module:
        return ConvModule(
            self.in_channels,
            self.channels,
            3,
            padding=dilation,
            dilation=dilation,
            **self.layer_cfgs,
        )

    def _pyramid(self, inputs: Sequence[Tensor]) -> Tensor:
        """Features (N, channels, h, w) from the backbone's feature maps."""
        x = self._transform_inputs(inputs)  # (N, in_channels, h, w)
        pooled = resize(
            self.image_pool(x),  # (N, channels, 1, 1)
            size=x.shape[2:],
            mode="bilinear",
            align_corners=self.align_corners,
        )
        parts = [pooled, *(module(x) for module in self.aspp_modules)]
        return self.bottleneck(torch.cat(parts, dim=1))

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits (N, out_channels, h, w) from the backbone's feature maps."""
        return self.cls_seg(self._pyramid(inputs))
