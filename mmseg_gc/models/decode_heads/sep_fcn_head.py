"""The fully convolutional head of separable convolutions."""

from collections.abc import Sequence
from typing import Unpack

from mmcv.cnn import DepthwiseSeparableConvModule
from torch import nn

from mmseg_gc.models.decode_heads.fcn_head import FCNHead, FCNHeadOptions
from mmseg_gc.registry import MODELS


@MODELS.register_module()
class DepthwiseSeparableFCNHead(FCNHead):
    """`FCNHead` whose convolutions are a depthwise and a pointwise one each.

    ``dw_act_cfg`` is the activation between the two; None: none.

    Source: "Fast-SCNN: Fast Semantic Segmentation Network", arXiv:1902.04502, section 3.3;
    ``mmseg.models.DepthwiseSeparableFCNHead``.
    """

    def __init__(
        self,
        *,
        in_channels: int | Sequence[int],
        channels: int,
        num_classes: int,
        num_convs: int = 2,
        dw_act_cfg: dict | None = None,
        **options: Unpack[FCNHeadOptions],
    ) -> None:
        self._dw_act_cfg = dw_act_cfg
        super().__init__(
            in_channels=in_channels,
            channels=channels,
            num_classes=num_classes,
            num_convs=num_convs,
            **options,
        )

    def _conv(self, in_channels: int, kernel_size: int, dilation: int = 1) -> nn.Module:
        return DepthwiseSeparableConvModule(
            in_channels,
            self.channels,
            kernel_size,
            padding=kernel_size // 2 * dilation,
            dilation=dilation,
            norm_cfg=self.norm_cfg,
            act_cfg=self.act_cfg,
            dw_act_cfg=self._dw_act_cfg,
        )
