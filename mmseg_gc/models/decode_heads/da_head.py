"""The dual attention head."""

from collections.abc import Sequence
from typing import Unpack

from mmcv.cnn import Scale
from torch import Tensor, nn

from mmseg_gc.models.decode_heads.decode_head import BaseDecodeHead, DecodeHeadOptions
from mmseg_gc.models.layers import SelfAttentionBlock
from mmseg_gc.registry import MODELS
from mmseg_gc.structures import SegDataSample


class PositionAttention(SelfAttentionBlock):
    """Each position gathers from all others, which starts with a share of nothing."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__(
            key_in_channels=in_channels,
            query_in_channels=in_channels,
            channels=channels,
            out_channels=in_channels,
            key_query_norm=False,
            matmul_norm=False,
            with_out=False,
        )
        self.gamma = Scale(0)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return self.gamma(super().forward(x, x)) + x


class ChannelAttention(nn.Module):
    """Each channel gathers from those that are least like it."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = Scale(0)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(2)  # (N, C, H*W)
        # The paper's "largest of the row, less the energy" is the energy's negative to a softmax.
        weights = (rows @ rows.transpose(1, 2)).neg().softmax(dim=-1)  # (N, C, C)
        gathered = (weights @ rows).unflatten(2, x.shape[2:])  # (N, C, H, W)
        return self.gamma(gathered) + x


@MODELS.register_module()
class DAHead(BaseDecodeHead):
    """The sum of attention among positions, compared in ``pam_channels``, and among channels.

    Either learns from a classifier of its own, too, which prediction does without.

    Source: "Dual Attention Network for Scene Segmentation", arXiv:1809.02983, section 3;
    ``mmseg.models.DAHead``.
    """

    known_by = ("pam",)

    def __init__(
        self,
        *,
        in_channels: int | Sequence[int],
        channels: int,
        num_classes: int,
        pam_channels: int,
        **options: Unpack[DecodeHeadOptions],
    ) -> None:
        super().__init__(in_channels, channels, num_classes=num_classes, **options)
        self.pam_in_conv = self._conv_module(self.in_channels, channels, 3)
        self.pam = PositionAttention(channels, pam_channels)
        self.pam_out_conv = self._conv_module(channels, channels, 3)
        self.pam_conv_seg = nn.Conv2d(channels, self.out_channels, kernel_size=1)
        self.cam_in_conv = self._conv_module(self.in_channels, channels, 3)
        self.cam = ChannelAttention()
        self.cam_out_conv = self._conv_module(channels, channels, 3)
        self.cam_conv_seg = nn.Conv2d(channels, self.out_channels, kernel_size=1)

    def _features(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """What positions and what channels gathered, (N, channels, h, w) each."""
        x = self._transform_inputs(inputs)  # (N, in_channels, h, w)
        of_positions = self.pam_out_conv(self.pam(self.pam_in_conv(x)))
        return of_positions, self.cam_out_conv(self.cam(self.cam_in_conv(x)))

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits (N, out_channels, h, w) from the backbone's feature maps."""
        of_positions, of_channels = self._features(inputs)
        return self.cls_seg(of_positions + of_channels)

    def loss(
        self,
        inputs: Sequence[Tensor],
        batch_data_samples: list[SegDataSample],
        train_cfg: dict | None = None,
    ) -> dict[str, Tensor]:
        """Losses and accuracies of the sum and of both parts, as ``pam_cam.*``, ``pam.*``, …."""
        of_positions, of_channels = self._features(inputs)
        logits = {
            "pam_cam": self.cls_seg(of_positions + of_channels),
            "pam": self.pam_conv_seg(self._dropped(of_positions)),
            "cam": self.cam_conv_seg(self._dropped(of_channels)),
        }
        return {
            f"{prefix}.{name}": value
            for prefix, one in logits.items()
            for name, value in self.loss_by_feat(one, batch_data_samples).items()
        }
