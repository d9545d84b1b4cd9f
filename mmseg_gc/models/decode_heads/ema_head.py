"""The expectation-maximisation attention head."""

from collections.abc import Sequence
from typing import Unpack

import torch
import torch.distributed as dist
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmseg_gc.errors import UserError
from mmseg_gc.models.decode_heads.decode_head import BaseDecodeHead, DecodeHeadOptions
from mmseg_gc.models.layers import as_rows
from mmseg_gc.registry import MODELS


class EMAttention(nn.Module):
    """A map (N, C, H, W) rebuilt from a few bases that describe all its positions.

    ``bases`` (1, C, num_bases) follow those of each batch by ``momentum`` while training.
    """

    bases: Tensor

    def __init__(self, channels: int, num_bases: int, num_stages: int, momentum: float) -> None:
        super().__init__()
        self.num_stages = num_stages
        self.momentum = momentum
        bases = torch.empty(1, channels, num_bases).normal_(0, (2 / num_bases) ** 0.5)
        self.register_buffer("bases", F.normalize(bases, dim=1))

    @torch.no_grad()
    def _described(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Bases (N, C, K) of rows (N, H*W, C), and each row's share of each (N, H*W, K)."""
        bases = self.bases.expand(len(rows), -1, -1)
        for _ in range(self.num_stages):
            shares = (rows @ bases).softmax(dim=2)  # (N, H*W, K)
            weights = F.normalize(shares, dim=1, p=1)
            bases = F.normalize(rows.transpose(1, 2) @ weights, dim=1)  # (N, C, K)
        return bases, shares

    @torch.no_grad()
    def _follow(self, bases: Tensor) -> None:
        mean = bases.mean(dim=0, keepdim=True)
        if dist.is_initialized() and dist.get_world_size() > 1:
            dist.all_reduce(mean.div_(dist.get_world_size()))
        mean = F.normalize(mean, dim=1)
        self.bases.lerp_(mean.to(self.bases.dtype), self.momentum)

    def forward(self, x: Tensor) -> Tensor:
        bases, shares = self._described(as_rows(x))
        rebuilt = bases @ shares.transpose(1, 2)  # (N, C, H*W)
        if self.training:
            self._follow(bases)
        return rebuilt.unflatten(2, x.shape[2:])  # (N, C, H, W)


@MODELS.register_module()
class EMAHead(BaseDecodeHead):
    """A residual around `EMAttention` in ``ema_channels``, then a convolution.

    ``concat_input`` lets one more convolution see the input beside that.

    Raises: UserError for a count or a momentum that is none.
    Source: "Expectation-Maximization Attention Networks for Semantic Segmentation",
    arXiv:1907.13426, section 4; ``mmseg.models.EMAHead``.
    """

    known_by = ("ema_module",)

    def __init__(
        self,
        *,
        in_channels: int | Sequence[int],
        channels: int,
        num_classes: int,
        ema_channels: int,
        num_bases: int,
        num_stages: int,
        concat_input: bool = True,
        momentum: float = 0.1,
        **options: Unpack[DecodeHeadOptions],
    ) -> None:
        if min(num_bases, num_stages) < 1 or not 0 <= momentum <= 1:
            raise UserError(
                f"{type(self).__name__} needs num_bases and num_stages from 1 on and a momentum of "
                f"0 to 1, not {num_bases}, {num_stages} and {momentum}."
            )
        super().__init__(in_channels, channels, num_classes=num_classes, **options)
        self.concat_input = concat_input
        self.ema_module = EMAttention(ema_channels, num_bases, num_stages, momentum)
        self.ema_in_conv = self._conv_module(self.in_channels, ema_channels, 3)
        # No gradient reaches it: what the bases are found by isn't learnt through them.
        self.ema_mid_conv = ConvModule(ema_channels, ema_channels, 1, act_cfg=None)
        self.ema_mid_conv.requires_grad_(False)
        cfgs = {**self.layer_cfgs, "act_cfg": None}
        self.ema_out_conv = ConvModule(ema_channels, ema_channels, 1, **cfgs)
        self.bottleneck = self._conv_module(ema_channels, channels, 3)
        if concat_input:
            self.conv_cat = self._conv_module(self.in_channels + channels, channels, 3)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits (N, out_channels, h, w) from the backbone's feature maps."""
        x = self._transform_inputs(inputs)  # (N, in_channels, h, w)
        feats = self.ema_in_conv(x)  # (N, ema_channels, h, w)
        rebuilt = self.ema_module(self.ema_mid_conv(feats)).relu()
        feats = self.bottleneck((feats + self.ema_out_conv(rebuilt)).relu())
        if self.concat_input:
            feats = self.conv_cat(torch.cat([x, feats], dim=1))
        return self.cls_seg(feats)
