"""The interlaced sparse self-attention head."""

import math
from collections.abc import Sequence
from typing import Any, Unpack

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor

from mmseg_gc.models.decode_heads.decode_head import BaseDecodeHead, DecodeHeadOptions
from mmseg_gc.models.layers import SelfAttentionBlock, check_scales
from mmseg_gc.registry import MODELS


class Relation(SelfAttentionBlock):
    """Attention of a map to itself, with a convolution after it."""

    def __init__(self, in_channels: int, channels: int, **layer_cfgs: Any) -> None:
        super().__init__(
            key_in_channels=in_channels,
            query_in_channels=in_channels,
            channels=channels,
            out_channels=in_channels,
            key_query_num_convs=2,
            with_out=False,
            **layer_cfgs,
        )
        self.output_project = ConvModule(in_channels, in_channels, 1, **layer_cfgs)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return self.output_project(super().forward(x, x))


@MODELS.register_module()
class ISAHead(BaseDecodeHead):
    """Attention among positions far apart, then among those of one block.

    ``down_factor`` (h, w) is a block's size: the first attention is among the positions that stand
    at one place of all blocks. Both compare in ``isa_channels``.

    Raises: UserError for a factor that is none.
    Source: "Interlaced Sparse Self-Attention for Semantic Segmentation", arXiv:1907.12273,
    section 3; ``mmseg.models.ISAHead``.
    """

    known_by = ("global_relation",)

    def __init__(
        self,
        *,
        in_channels: int | Sequence[int],
        channels: int,
        num_classes: int,
        isa_channels: int,
        down_factor: Sequence[int] = (8, 8),
        **options: Unpack[DecodeHeadOptions],
    ) -> None:
        check_scales(type(self).__name__, "down_factor", down_factor, length=2)
        super().__init__(in_channels, channels, num_classes=num_classes, **options)
        self.down_factor = down_factor
        self.in_conv = self._conv_module(self.in_channels, channels, 3)
        self.global_relation = Relation(channels, isa_channels, **self.layer_cfgs)
        self.local_relation = Relation(channels, isa_channels, **self.layer_cfgs)
        self.out_conv = self._conv_module(2 * channels, channels, 1)

    def held_numbers(self, positions: int) -> int:
        block = math.prod(self.down_factor)
        blocks = -(-positions // block)
        far = self.global_relation.held_numbers(blocks) * block
        return max(far, self.local_relation.held_numbers(block) * blocks)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits (N, out_channels, h, w) from the backbone's feature maps."""
        x = self.in_conv(self._transform_inputs(inputs))  # (N, C, h, w)
        gathered = self._interlaced(x)
        return self.cls_seg(self.out_conv(torch.cat([gathered, x], dim=1)))

    def _interlaced(self, x: Tensor) -> Tensor:
        """Both attentions on a map (N, C, h, w), whose size stays."""
        (n, c, h, w), (p, q) = x.shape, self.down_factor
        below, right = -h % p, -w % q
        top, left = below // 2, right // 2
        x = F.pad(x, (left, right - left, top, below - top))
        rows, columns = x.shape[2] // p, x.shape[3] // q  # blocks

        x = x.view(n, c, rows, p, columns, q)
        x = x.permute(0, 3, 5, 1, 2, 4)  # (N, p, q, C, rows, columns)
        x = self.global_relation(x.reshape(-1, c, rows, columns))

        x = x.view(n, p, q, c, rows, columns)
        x = x.permute(0, 4, 5, 3, 1, 2)  # (N, rows, columns, C, p, q)
        x = self.local_relation(x.reshape(-1, c, p, q))

        x = x.view(n, rows, columns, c, p, q)
        x = x.permute(0, 3, 1, 4, 2, 5)  # (N, C, rows, p, columns, q)
        x = x.reshape(n, c, rows * p, columns * q)
        return x[:, :, top : top + h, left : left + w]
