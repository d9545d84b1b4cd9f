"""The feature pyramid network."""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmseg_gc.errors import UserError
from mmseg_gc.registry import MODELS


@MODELS.register_module()
class FPN(BaseModule):
    """The backbone's maps, each with what came down from the deeper ones, in ``out_channels``.

    ``num_outs`` beyond the maps there are come from the deepest by max pooling of stride 2.

    Raises: UserError for fewer outputs than maps.
    Source: "Feature Pyramid Networks for Object Detection", arXiv:1612.03144, section 3;
    ``mmseg.models.FPN``, without its extra convolutions, which are for detectors.
    """

    def __init__(
        self,
        *,
        in_channels: Sequence[int],
        out_channels: int,
        num_outs: int,
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
        upsample_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        own = {"type": "Xavier", "layer": "Conv2d", "distribution": "uniform"}
        super().__init__(init_cfg or own)
        if num_outs < len(in_channels):
            raise UserError(
                f"FPN's num_outs={num_outs} is less than the {len(in_channels)} maps of "
                f"in_channels={in_channels}; give {len(in_channels)} or more."
            )
        cfgs: dict[str, Any] = {"conv_cfg": conv_cfg, "norm_cfg": norm_cfg, "act_cfg": act_cfg}
        self.in_channels = in_channels
        self.num_outs = num_outs
        self.upsample_cfg = upsample_cfg or {"mode": "nearest"}
        self.lateral_convs = nn.ModuleList(
            ConvModule(width, out_channels, 1, inplace=False, **cfgs) for width in in_channels
        )
        self.fpn_convs = nn.ModuleList(
            ConvModule(out_channels, out_channels, 3, padding=1, inplace=False, **cfgs)
            for _ in in_channels
        )

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps (N, out_channels, h, w), ``num_outs`` of them, the shallowest first."""
        if len(inputs) != len(self.in_channels):
            raise UserError(
                f"FPN's in_channels={self.in_channels} are of {len(self.in_channels)} maps, and "
                f"the backbone's out_indices give {len(inputs)}."
            )
        maps = [conv(x) for conv, x in zip(self.lateral_convs, inputs, strict=True)]
        for i in range(len(maps) - 1, 0, -1):
            size = {} if "scale_factor" in self.upsample_cfg else {"size": maps[i - 1].shape[2:]}
            maps[i - 1] = maps[i - 1] + F.interpolate(maps[i], **size, **self.upsample_cfg)
        outs = [conv(x) for conv, x in zip(self.fpn_convs, maps, strict=True)]
        while len(outs) < self.num_outs:
            outs.append(F.max_pool2d(outs[-1], 1, stride=2))
        return tuple(outs)
