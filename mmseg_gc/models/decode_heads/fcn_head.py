"""The fully convolutional head."""

from collections.abc import Sequence
from typing import ClassVar, Unpack

import torch
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmseg_gc.errors import UserError
from mmseg_gc.models.decode_heads.decode_head import BaseDecodeHead, DecodeHeadOptions
from mmseg_gc.registry import MODELS


class FCNHeadOptions(DecodeHeadOptions, total=False):
    """Those keywords of `FCNHead` that a head made of it hands on."""

    kernel_size: int
    concat_input: bool
    dilation: int


@MODELS.register_module()
class FCNHead(BaseDecodeHead):
    """``num_convs`` convolutions, then the classifier; see `BaseDecodeHead` for the other keys.

    ``concat_input`` lets one more convolution see the input beside their output.

    Source: "Fully Convolutional Networks", arXiv:1411.4038; ``mmseg.models.FCNHead``.
    """

    known_by: ClassVar[tuple[str, ...]] = ("convs",)

    def __init__(
        self,
        *,
        in_channels: int | Sequence[int],
        channels: int,
        num_classes: int,
        num_convs: int = 2,
        kernel_size: int = 3,
        concat_input: bool = True,
        dilation: int = 1,
        **options: Unpack[DecodeHeadOptions],
    ) -> None:
        super().__init__(in_channels, channels, num_classes=num_classes, **options)
        if num_convs == 0 and self.in_channels != channels:
            raise UserError(
                f"{type(self).__name__} with num_convs=0 needs channels={channels} to equal "
                f"in_channels={self.in_channels}."
            )
        self.num_convs = num_convs
        self.concat_input = concat_input
        widths = [self.in_channels] + [channels] * num_convs
        self.convs = nn.Sequential(
            *(self._conv(width, kernel_size, dilation) for width in widths[:-1])
        )
        if concat_input:
            self.conv_cat = self._conv(self.in_channels + channels, kernel_size)

    def _conv(self, in_channels: int, kernel_size: int, dilation: int = 1) -> nn.Module:
        return ConvModule(
            in_channels,
            self.channels,
            kernel_size=kernel_size,
            padding=kernel_size // 2 * dilation,
            dilation=dilation,
            **self.layer_cfgs,
        )

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits (N, out_channels, h, w) from the backbone's feature maps."""
        x = self._transform_inputs(inputs)
        feats = self.convs(x)
        if self.concat_input:
            feats = self.conv_cat(torch.cat([x, feats], dim=1))
        return self.cls_seg(feats)

    def _around(self, block: nn.Module, inputs: Sequence[Tensor]) -> Tensor:
        """Logits as `forward`'s, with ``block`` between the first convolution and the second."""
        x = self._transform_inputs(inputs)  # (N, in_channels, h, w)
        feats = self.convs[1](block(self.convs[0](x)))  # (N, channels, h, w)
        if self.concat_input:
            feats = self.conv_cat(torch.cat([x, feats], dim=1))
        return self.cls_seg(feats)
