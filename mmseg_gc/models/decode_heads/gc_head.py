"""The GCNet head."""

from collections.abc import Sequence

from torch import Tensor

from mmseg_gc.models.decode_heads.fcn_head import FCNHead
from mmseg_gc.models.layers import ContextBlock
from mmseg_gc.registry import MODELS


@MODELS.register_module()
class GCHead(FCNHead):
    """`FCNHead` of two convolutions with a `ContextBlock` between them, which has the new keys.

    Source: arXiv:1904.11492; ``mmseg.models.GCHead``.
    """

    def __init__(
        self,
        *,
        in_channels: int | Sequence[int],
        channels: int,
        num_classes: int,
        ratio: float = 1 / 4,
        pooling_type: str = "att",
        fusion_types: Sequence[str] = ("channel_add",),
        kernel_size: int = 3,
        concat_input: bool = True,
        dilation: int = 1,
        out_channels: int | None = None,
        threshold: float | None = None,
        dropout_ratio: float = 0.1,
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
        in_index: int | Sequence[int] = -1,
        input_transform: str | None = None,
        loss_decode: dict | Sequence[dict] | None = None,
        ignore_index: int | None = 255,
        sampler: None = None,
        align_corners: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(
            in_channels=in_channels,
            channels=channels,
            num_classes=num_classes,
            num_convs=2,
            kernel_size=kernel_size,
            concat_input=concat_input,
            dilation=dilation,
            out_channels=out_channels,
            threshold=threshold,
            dropout_ratio=dropout_ratio,
            conv_cfg=conv_cfg,
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
            in_index=in_index,
            input_transform=input_transform,
            loss_decode=loss_decode,
            ignore_index=ignore_index,
            sampler=sampler,
            align_corners=align_corners,
            init_cfg=init_cfg,
        )
        self.gc_block = ContextBlock(channels, ratio, pooling_type, fusion_types)

    def _conv_branch(self, x: Tensor) -> Tensor:
        first, second = self.convs
        return second(self.gc_block(first(x)))
