"""The adaptive pyramid context head."""

from collections.abc import Sequence
from typing import Any, Unpack

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmseg_gc.models.decode_heads.decode_head import BaseDecodeHead, DecodeHeadOptions
from mmseg_gc.models.layers import as_rows, check_scales
from mmseg_gc.registry import MODELS


class AdaptiveContext(nn.Module):
    """What each position gathers from the map pooled to ``pool_scale``, added to it.

    (N, in_channels, H, W) in, (N, channels, H, W) out.
    """

    def __init__(
        self,
        pool_scale: int,
        fusion: bool,
        in_channels: int,
        channels: int,
        **layer_cfgs: Any,
    ) -> None:
        super().__init__()
        self.pool_scale = pool_scale
        self.pooled_redu_conv = ConvModule(in_channels, channels, 1, **layer_cfgs)
        self.input_redu_conv = ConvModule(in_channels, channels, 1, **layer_cfgs)
        self.global_info = ConvModule(channels, channels, 1, **layer_cfgs)
        self.gla = nn.Conv2d(channels, pool_scale**2, kernel_size=1)
        self.residual_conv = ConvModule(channels, channels, 1, **layer_cfgs)
        self.fusion_conv = ConvModule(channels, channels, 1, **layer_cfgs) if fusion else None

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.pooled_redu_conv(F.adaptive_avg_pool2d(x, self.pool_scale))
        x = self.input_redu_conv(x)
        # One value a channel: enlarged it is the same everywhere, as it is when broadcast.
        of_all = self.global_info(F.adaptive_avg_pool2d(x, 1))  # (N, C, 1, 1)
        weights = as_rows(self.gla(x + of_all)).sigmoid()  # (N, H*W, S*S)
        gathered = weights @ as_rows(pooled)  # (N, H*W, C)
        gathered = gathered.transpose(1, 2).unflatten(2, x.shape[2:])  # (N, C, H, W)
        out = (self.residual_conv(gathered) + x).relu()
        return out if self.fusion_conv is None else self.fusion_conv(out)


@MODELS.register_module()
class APCHead(BaseDecodeHead):
    """The input beside its context of each of ``pool_scales``, then one convolution.

    ``fusion`` puts one more convolution behind each context.

    Raises: UserError for scales that are none.
    Source: "Adaptive Pyramid Context Network for Semantic Segmentation" (CVPR 2019), section 3.2;
    ``mmseg.models.APCHead``.
    """

    known_by = ("acm_modules",)

    def __init__(
        self,
        *,
        in_channels: int | Sequence[int],
        channels: int,
        num_classes: int,
        pool_scales: Sequence[int] = (1, 2, 3, 6),
        fusion: bool = True,
        **options: Unpack[DecodeHeadOptions],
    ) -> None:
        check_scales(type(self).__name__, "pool_scales", pool_scales)
        super().__init__(in_channels, channels, num_classes=num_classes, **options)
        self.acm_modules = nn.ModuleList(
            AdaptiveContext(scale, fusion, self.in_channels, channels, **self.layer_cfgs)
            for scale in pool_scales
        )
        width = self.in_channels + len(pool_scales) * channels
        self.bottleneck = self._conv_module(width, channels, 3)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits (N, out_channels, h, w) from the backbone's feature maps."""
        x = self._transform_inputs(inputs)  # (N, in_channels, h, w)
        contexts = [module(x) for module in self.acm_modules]
        return self.cls_seg(self.bottleneck(torch.cat([x, *contexts], dim=1)))
