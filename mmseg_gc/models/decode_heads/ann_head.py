"""The asymmetric non-local head."""

from collections.abc import Sequence
from typing import Any, Unpack

import torch
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmseg_gc.models.decode_heads.decode_head import BaseDecodeHead, DecodeHeadOptions
from mmseg_gc.models.layers import PyramidRows, SelfAttentionBlock, check_scales
from mmseg_gc.registry import MODELS


class PyramidAttention(nn.Module):
    """The query map beside what it gathers from a pyramid of another map, and a convolution.

    One attention for each of ``query_scales``, by which the query map is made smaller.
    """

    def __init__(
        self,
        key_channels: int,
        query_channels: int,
        channels: int,
        out_channels: int,
        *,
        query_scales: Sequence[int],
        key_pool_scales: Sequence[int],
        share_key_query: bool,
        activates: bool,
        **layer_cfgs: Any,
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            SelfAttentionBlock(
                key_in_channels=key_channels,
                query_in_channels=query_channels,
                channels=channels,
                out_channels=out_channels,
                share_key_query=share_key_query,
                query_downsample=nn.MaxPool2d(scale) if scale > 1 else None,
                key_downsample=PyramidRows(key_pool_scales),
                **layer_cfgs,
            )
            for scale in query_scales
        )
        if not activates:
            layer_cfgs["act_cfg"] = None
        self.bottleneck = ConvModule(out_channels + query_channels, out_channels, 1, **layer_cfgs)

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        """(N, query_channels, h, w) and (N, key_channels, H, W) in, (N, out_channels, h, w) out."""
        gathered = sum(stage(query, key) for stage in self.stages)
        return self.bottleneck(torch.cat([gathered, query], dim=1))


@MODELS.register_module()
class ANNHead(BaseDecodeHead):
    """The last feature map gathers from the one before it, then from itself.

    ``in_channels`` and ``in_index`` name the two, the earlier one first. What they gather from is
    pooled to ``key_pool_scales``; they are compared in ``project_channels``.

    Raises: UserError for scales that are none, or other than two maps.
    Source: "Asymmetric Non-local Neural Networks for Semantic Segmentation", arXiv:1908.07678,
    section 3.2; ``mmseg.models.ANNHead``.
    """

    known_by = ("fusion", "context")

    def __init__(
        self,
        *,
        in_channels: Sequence[int],
        channels: int,
        num_classes: int,
        project_channels: int,
        query_scales: Sequence[int] = (1,),
        key_pool_scales: Sequence[int] = (1, 3, 6, 8),
        **options: Unpack[DecodeHeadOptions],
    ) -> None:
        name = type(self).__name__
        check_scales(name, "query_scales", query_scales)
        check_scales(name, "key_pool_scales", key_pool_scales)
        check_scales(name, "in_channels", in_channels, length=2)
        options["input_transform"] = "multiple_select"
        super().__init__(in_channels, channels, num_classes=num_classes, **options)
        low, high = in_channels
        scales = {"query_scales": query_scales, "key_pool_scales": key_pool_scales}
        self.fusion = PyramidAttention(
            low,
            high,
            project_channels,
            high,
            share_key_query=False,
            activates=False,
            **scales,
            **self.layer_cfgs,
        )
        self.bottleneck = self._conv_module(high, channels, 3)
        self.context = PyramidAttention(
            channels,
            channels,
            project_channels,
            channels,
            share_key_query=True,
            activates=True,
            **scales,
            **self.layer_cfgs,
        )

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits (N, out_channels, h, w) from the backbone's feature maps."""
        low, high = self._transform_inputs(inputs)
        feats = self.bottleneck(self._dropped(self.fusion(high, low)))  # (N, channels, h, w)
        return self.cls_seg(self.context(feats, feats))
