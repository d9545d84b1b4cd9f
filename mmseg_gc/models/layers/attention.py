"""Attention among positions of feature maps, and the block that ISA, ANN, DA and OCR make of it."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule, constant_init
from torch import Tensor, nn


def attend(query: Tensor, key: Tensor, value: Tensor, scale: float = 1.0) -> Tensor:
    """For each query the mean of all values, weighted by the softmax of ``scale * query @ key``.

    (N, P, C), (N, Q, C) and (N, Q, D) in, (N, P, D) out. torch never holds the (N, P, Q) weights
    where it has a kernel for that.
    """
    query, key, value = (x.unsqueeze(1) for x in (query, key, value))  # (N, 1, positions, C)
    return F.scaled_dot_product_attention(query, key, value, scale=scale).squeeze(1)


def as_rows(x: Tensor) -> Tensor:
    """A map (N, C, H, W) as (N, H*W, C): one row a position."""
    return x.flatten(2).transpose(1, 2)


class SelfAttentionBlock(BaseModule):
    """What the positions of one map, the queries, gather from those of another, the keys.

    Args:
        key_in_channels, query_in_channels: widths of the two maps.
        channels: width in which they are compared, and with ``with_out`` that of the values.
        out_channels: width of what comes out.
        share_key_query: one projection for both.
        query_downsample, key_downsample: make queries fewer; keys and values (N, C, positions).
        key_query_num_convs, value_out_num_convs: 1x1 convolutions in each projection.
        key_query_norm, value_out_norm: whether these have a norm and an activation.
        matmul_norm: divide what is compared by the square root of ``channels``.
        with_out: project what was gathered, from zero on if that is a bare convolution.

    Source: "Asymmetric Non-local Neural Networks", arXiv:1908.07678, section 3.1, of which the
    blocks of the other papers are cases; keys as in ``mmseg.models.utils.SelfAttentionBlock``.
    """

    attend = staticmethod(attend)

    def __init__(
        self,
        *,
        key_in_channels: int,
        query_in_channels: int,
        channels: int,
        out_channels: int,
        share_key_query: bool = False,
        query_downsample: nn.Module | None = None,
        key_downsample: nn.Module | None = None,
        key_query_num_convs: int = 1,
        value_out_num_convs: int = 1,
        key_query_norm: bool = True,
        value_out_norm: bool = False,
        matmul_norm: bool = True,
        with_out: bool = True,
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
    ) -> None:
        super().__init__()
        self.layer_cfgs = {"conv_cfg": conv_cfg, "norm_cfg": norm_cfg, "act_cfg": act_cfg}
        self.out_channels = out_channels
        self.scale = channels**-0.5 if matmul_norm else 1.0
        count, has_norm = key_query_num_convs, key_query_norm
        self.key_project = self._project(key_in_channels, channels, count, has_norm)
        self.query_project = (
            self.key_project
            if share_key_query
            else self._project(query_in_channels, channels, count, has_norm)
        )
        count, has_norm = value_out_num_convs, value_out_norm
        width = channels if with_out else out_channels
        self.channels, self.value_channels = channels, width
        self.value_project = self._project(key_in_channels, width, count, has_norm)
        self.out_project = self._project(width, out_channels, count, has_norm) if with_out else None
        self.query_downsample = query_downsample
        self.key_downsample = key_downsample
        self.init_weights()

    def _project(self, in_channels: int, channels: int, count: int, has_norm: bool) -> nn.Module:
        widths = [in_channels] + [channels] * count
        pairs = zip(widths, widths[1:], strict=False)
        if has_norm:
            parts = [ConvModule(a, b, 1, **self.layer_cfgs) for a, b in pairs]
        else:
            parts = [nn.Conv2d(a, b, 1) for a, b in pairs]
        return nn.Sequential(*parts) if count > 1 else parts[0]

    def init_weights(self) -> None:
        """Let a bare convolution at the end begin with zeros: the block then adds nothing."""
        if isinstance(self.out_project, nn.Conv2d):
            constant_init(self.out_project, 0)

    def held_numbers(self, positions: int) -> int:
        """Of the matrix of a map to itself: torch has no kernel without it for values of another
        width than what is compared."""
        if self.value_channels == self.channels:
            return 0
        pool = self.key_downsample
        return positions * (pool.num_positions if isinstance(pool, PyramidRows) else positions)

    def forward(self, query_feats: Tensor, key_feats: Tensor) -> Tensor:
        """(N, C, H, W), the queries' map, and the keys' in; (N, out_channels, H, W) out."""
        query = self.query_project(query_feats)
        if self.query_downsample is not None:
            query = self.query_downsample(query)
        key, value = self.key_project(key_feats), self.value_project(key_feats)
        if self.key_downsample is not None:
            key, value = self.key_downsample(key), self.key_downsample(value)
        gathered = self.attend(as_rows(query), as_rows(key), as_rows(value), self.scale)
        gathered = gathered.transpose(1, 2)  # (N, D, H*W)
        gathered = gathered.unflatten(2, query.shape[2:])  # (N, D, H, W)
        return gathered if self.out_project is None else self.out_project(gathered)


class PyramidRows(nn.ModuleList):
    """A map (N, C, H, W) pooled to each of ``pool_scales``, all of it as (N, C, positions)."""

    def __init__(self, pool_scales: Sequence[int]) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(scale) for scale in pool_scales)
        self.num_positions = sum(scale**2 for scale in pool_scales)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([pool(x).flatten(2) for pool in self], dim=2)
