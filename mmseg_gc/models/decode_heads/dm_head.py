"""The dynamic multi-scale filters head."""

from collections.abc import Sequence
from typing import Any, Unpack

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule, build_activation_layer, build_norm_layer
from torch import Tensor, nn

from mmseg_gc.models.decode_heads.decode_head import BaseDecodeHead, DecodeHeadOptions
from mmseg_gc.models.layers import check_scales
from mmseg_gc.registry import MODELS


class DynamicFilter(nn.Module):
    """A depthwise convolution by a filter of ``filter_size`` that is made of the image itself.

    (N, in_channels, H, W) in, (N, channels, H, W) out.
    """

    def __init__(
        self,
        filter_size: int,
        fusion: bool,
        in_channels: int,
        channels: int,
        **layer_cfgs: Any,
    ) -> None:
        super().__init__()
        self.filter_size = filter_size
        self.filter_gen_conv = nn.Conv2d(in_channels, channels, kernel_size=1)
        self.input_redu_conv = ConvModule(in_channels, channels, 1, **layer_cfgs)
        norm_cfg = layer_cfgs["norm_cfg"]
        self.norm = build_norm_layer(norm_cfg, channels)[1] if norm_cfg else None
        self.activate = build_activation_layer(layer_cfgs["act_cfg"])
        self.fusion_conv = ConvModule(channels, channels, 1, **layer_cfgs) if fusion else None

    def forward(self, x: Tensor) -> Tensor:
        size = self.filter_size
        filters = self.filter_gen_conv(F.adaptive_avg_pool2d(x, size))  # (N, C, S, S)
        x = self.input_redu_conv(x)
        after = (size - 1) // 2
        before = size - 1 - after  # an even filter has no middle
        x = F.pad(x, (before, after, before, after))
        n, c, height, width = x.shape
        out = F.conv2d(
            x.reshape(1, n * c, height, width), filters.reshape(n * c, 1, size, size), groups=n * c
        )  # (1, N*C, H, W)
        out = out.view(n, c, *out.shape[2:])  # (N, C, H, W)
        out = self.activate(out if self.norm is None else self.norm(out))
        return out if self.fusion_conv is None else self.fusion_conv(out)


@MODELS.register_module()
class DMHead(BaseDecodeHead):
    """The input beside its convolution by each of ``filter_sizes``, then one convolution.

    ``fusion`` puts one more convolution behind each.

    Raises: UserError for sizes that are none.
    Source: "Dynamic Multi-scale Filters for Semantic Segmentation" (ICCV 2019), section 3.1;
    ``mmseg.models.DMHead``.
    """

    known_by = ("dcm_modules",)

    def __init__(
        self,
        *,
        in_channels: int | Sequence[int],
        channels: int,
        num_classes: int,
        filter_sizes: Sequence[int] = (1, 3, 5, 7),
        fusion: bool = False,
        **options: Unpack[DecodeHeadOptions],
    ) -> None:
        check_scales(type(self).__name__, "filter_sizes", filter_sizes)
        super().__init__(in_channels, channels, num_classes=num_classes, **options)
        self.dcm_modules = nn.ModuleList(
            DynamicFilter(size, fusion, self.in_channels, channels, **self.layer_cfgs)
            for size in filter_sizes
        )
        width = self.in_channels + len(filter_sizes) * channels
        self.bottleneck = self._conv_module(width, channels, 3)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits (N, out_channels, h, w) from the backbone's feature maps."""
        x = self._transform_inputs(inputs)  # (N, in_channels, h, w)
        filtered = [module(x) for module in self.dcm_modules]
        return self.cls_seg(self.bottleneck(torch.cat([x, *filtered], dim=1)))
