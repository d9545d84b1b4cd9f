"""Joint pyramid upsampling, which gives an encoder of stride 32 the maps of a dilated one."""

from collections.abc import Sequence

import torch
from mmcv.cnn import ConvModule, DepthwiseSeparableConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmseg_gc.errors import UserError
from mmseg_gc.models.layers import check_scales, resize
from mmseg_gc.registry import MODELS


@MODELS.register_module()
class JPU(BaseModule):
    """The backbone's maps, of which the last gives way to one of the first one's size.

    It has ``len(dilations) * mid_channels`` channels and is made of the maps from ``start_level``
    up to ``end_level`` (-1: the last), whose widths ``in_channels`` names from the first map on.

    Raises: UserError for levels or dilations that are none.
    Source: "FastFCN: Rethinking Dilated Convolution in the Backbone for Semantic Segmentation",
    arXiv:1903.11816, section 3.3; ``mmseg.models.JPU``.
    """

    def __init__(
        self,
        *,
        in_channels: Sequence[int] = (512, 1024, 2048),
        mid_channels: int = 512,
        start_level: int = 0,
        end_level: int = -1,
        dilations: Sequence[int] = (1, 2, 4, 8),
        align_corners: bool = False,
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        check_scales("JPU", "dilations", dilations)
        self.end = len(in_channels) if end_level == -1 else end_level
        if not 0 <= start_level < self.end <= len(in_channels):
            raise UserError(
                f"JPU's start_level={start_level} and end_level={end_level} name none of the "
                f"{len(in_channels)} maps of in_channels={in_channels}."
            )
        self.in_channels = in_channels
        self.start_level = start_level
        self.align_corners = align_corners
        norm_cfg, act_cfg = norm_cfg or {"type": "BN"}, act_cfg or {"type": "ReLU"}
        used = in_channels[start_level : self.end]
        self.conv_layers = nn.ModuleList(
            nn.Sequential(
                ConvModule(
                    width,
                    mid_channels,
                    3,
                    padding=1,
                    conv_cfg=conv_cfg,
                    norm_cfg=norm_cfg,
                    act_cfg=act_cfg,
                )
            )
            for width in used
        )
        self.dilation_layers = nn.ModuleList(
            nn.Sequential(
                DepthwiseSeparableConvModule(
                    len(used) * mid_channels,
                    mid_channels,
                    3,
                    padding=dilation,
                    dilation=dilation,
                    norm_cfg=norm_cfg,
                    dw_act_cfg=None,
                    pw_act_cfg=act_cfg,
                )
            )
            for dilation in dilations
        )

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps (N, C, h, w), as many as ``in_channels``, in; as many as were used out."""
        if len(inputs) != len(self.in_channels):
            raise UserError(
                f"JPU's in_channels={self.in_channels} are of {len(self.in_channels)} maps, and "
                f"the backbone's out_indices give {len(inputs)}."
            )
        used = inputs[self.start_level : self.end]
        maps = [conv(x) for conv, x in zip(self.conv_layers, used, strict=True)]
        size = maps[0].shape[2:]
        maps[1:] = [resize(x, size, None, "bilinear", self.align_corners) for x in maps[1:]]
        joint = torch.cat(maps, dim=1)
        out = torch.cat([layer(joint) for layer in self.dilation_layers], dim=1)
        return *used[:-1], out
