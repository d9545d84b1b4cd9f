"""The head of DeepLabV3+: separable convolutions, and a second look at the first feature map."""

from collections.abc import Sequence
from typing import Unpack

import torch
from mmcv.cnn import DepthwiseSeparableConvModule
from torch import Tensor, nn

from mmseg_gc.errors import UserError
from mmseg_gc.models.decode_heads.aspp_head import ASPPHead
from mmseg_gc.models.decode_heads.decode_head import DecodeHeadOptions
from mmseg_gc.registry import MODELS


@MODELS.register_module()
class DepthwiseSeparableASPPHead(ASPPHead):
    """`ASPPHead` of separable convolutions, decoded at the size of the first feature map.

    ``c1_in_channels`` is the width of the first of the backbone's maps, which is brought to
    ``c1_channels`` and put behind the pyramid; 0 leaves it out.

    Raises: UserError for one of the two without the other, or dilations that are none.
    Source: "Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation",
    arXiv:1802.02611, section 3.1; ``mmseg.models.DepthwiseSeparableASPPHead``.
    """

    known_by = ("aspp_modules", "sep_bottleneck")

    def __init__(
        self,
        *,
        in_channels: int | Sequence[int],
        channels: int,
        num_classes: int,
        c1_in_channels: int,
        c1_channels: int,
        dilations: Sequence[int] = (1, 6, 12, 18),
        **options: Unpack[DecodeHeadOptions],
    ) -> None:
        if c1_in_channels < 0 or (c1_channels > 0) != (c1_in_channels > 0):
            raise UserError(
                f"{type(self).__name__}'s c1_in_channels={c1_in_channels} and "
                f"c1_channels={c1_channels} do not fit; give two widths, or 0 for both."
            )
        super().__init__(
            in_channels=in_channels,
            channels=channels,
            num_classes=num_classes,
            dilations=dilations,
            **options,
        )
        # Which further key names the width of which feature map.
        self.width_keys = {"c1_in_channels": (0, c1_in_channels)} if c1_in_channels else {}
        self.c1_bottleneck = (
            self._conv_module(c1_in_channels, c1_channels, 1) if c1_in_channels else None
        )
        self.sep_bottleneck = nn.Sequential(
            self._separable(channels + c1_channels, 1), self._separable(channels, 1)
        )

    def maps_read(self) -> tuple[int, ...]:
        return (*super().maps_read(), *((0,) if self.c1_bottleneck is not None else ()))

    def _separable(self, in_channels: int, dilation: int) -> nn.Module:
        return DepthwiseSeparableConvModule(
            in_channels,
            self.channels,
            3,
            padding=dilation,
            dilation=dilation,
            norm_cfg=self.norm_cfg,
            act_cfg=self.act_cfg,
        )

    def _atrous(self, dilation: int) -> nn.Module:
        return self._separable(self.in_channels, dilation)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits (N, out_channels, h, w) from the backbone's feature maps."""
        feats = self._pyramid(inputs)  # (N, channels, h', w')
        if self.c1_bottleneck is not None:
            first = self.c1_bottleneck(inputs[0])  # (N, c1_channels, h, w)
            feats = torch.cat([self._resized(feats, first.shape[2:]), first], dim=1)
        return self.cls_seg(self.sep_bottleneck(feats))
