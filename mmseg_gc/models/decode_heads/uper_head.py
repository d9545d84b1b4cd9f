"""The head of UPerNet: a feature pyramid below pyramid pooling."""

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor, nn

from mmseg_gc.models.decode_heads.decode_head import BaseDecodeHead, DecodeHeadOptions
from mmseg_gc.models.layers import PyramidPooling, check_scales
from mmseg_gc.registry import MODELS


@MODELS.register_module()
class UPerHead(BaseDecodeHead):
    """All feature maps, each with what came down from the deeper ones, at the first one's size.

    The deepest is pooled to ``pool_scales`` before.

    Raises: UserError for scales that are none.
    Source: "Unified Perceptual Parsing for Scene Understanding", arXiv:1807.10221, section 3;
    ``mmseg.models.UPerHead``.
    """

    known_by = ("psp_modules", "fpn_bottleneck")

    def __init__(
        self,
        *,
        in_channels: Sequence[int],
        channels: int,
        num_classes: int,
        pool_scales: Sequence[int] = (1, 2, 3, 6),
        **options: Unpack[DecodeHeadOptions],
    ) -> None:
        check_scales(type(self).__name__, "pool_scales", pool_scales)
        options["input_transform"] = "multiple_select"
        super().__init__(in_channels, channels, num_classes=num_classes, **options)
        *shallow, deepest = in_channels
        self.psp_modules = PyramidPooling(
            pool_scales, deepest, channels, align_corners=self.align_corners, **self.layer_cfgs
        )
        width = deepest + len(pool_scales) * channels
        self.bottleneck = self._conv_module(width, channels, 3)
        self.lateral_convs = nn.ModuleList(
            self._conv_module(width, channels, 1) for width in shallow
        )
        self.fpn_convs = nn.ModuleList(self._conv_module(channels, channels, 3) for _ in shallow)
        self.fpn_bottleneck = self._conv_module(len(in_channels) * channels, channels, 3)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits (N, out_channels, h, w) from the backbone's feature maps."""
        *shallow, deepest = self._transform_inputs(inputs)
        pooled = torch.cat([deepest, *self.psp_modules(deepest)], dim=1)
        maps = [self.bottleneck(pooled)]  # from the shallowest to the deepest
        for conv, x in zip(reversed(self.lateral_convs), reversed(shallow), strict=True):
            maps.insert(0, conv(x) + self._resized(maps[0], x.shape[2:]))
        outs = [conv(x) for conv, x in zip(self.fpn_convs, maps[:-1], strict=True)] + maps[-1:]
        outs = [self._resized(x, outs[0].shape[2:]) for x in outs]
        return self.cls_seg(self.fpn_bottleneck(torch.cat(outs, dim=1)))
