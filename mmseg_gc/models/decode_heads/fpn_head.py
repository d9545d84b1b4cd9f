"""The head of Panoptic Feature Pyramid Networks for semantic segmentation."""

from collections.abc import Sequence
from math import log2
from typing import Unpack

from torch import Tensor, nn

from mmseg_gc.errors import UserError
from mmseg_gc.models.decode_heads.decode_head import BaseDecodeHead, DecodeHeadOptions
from mmseg_gc.models.layers import resize
from mmseg_gc.registry import MODELS


class Doubled(nn.Module):
    """A map of twice the height and width."""

    def __init__(self, align_corners: bool) -> None:
        super().__init__()
        self.align_corners = align_corners

    def forward(self, x: Tensor) -> Tensor:
        size = [2 * side for side in x.shape[2:]]
        return resize(x, size, None, "bilinear", self.align_corners, warning=False)


@MODELS.register_module()
class FPNHead(BaseDecodeHead):
    """The sum of all feature maps at the first one's size, doubled step by step until there.

    ``feature_strides`` are the maps' strides in pixels of the image, the smallest first.

    Raises: UserError for strides that do not fit the maps.
    Source: "Panoptic Feature Pyramid Networks", arXiv:1901.02446, section 3.1;
    ``mmseg.models.FPNHead``.
    """

    known_by = ("scale_heads",)

    def __init__(
        self,
        *,
        in_channels: Sequence[int],
        channels: int,
        num_classes: int,
        feature_strides: Sequence[int],
        **options: Unpack[DecodeHeadOptions],
    ) -> None:
        if len(feature_strides) != len(in_channels) or min(feature_strides) != feature_strides[0]:
            raise UserError(
                f"{type(self).__name__}'s feature_strides={feature_strides} and in_channels="
                f"{in_channels} do not fit; give one stride a map, the smallest first."
            )
        options["input_transform"] = "multiple_select"
        super().__init__(in_channels, channels, num_classes=num_classes, **options)
        self.feature_strides = feature_strides
        self.scale_heads = nn.ModuleList(
            self._enlarging(width, int(log2(stride) - log2(feature_strides[0])))
            for width, stride in zip(in_channels, feature_strides, strict=True)
        )

    def _enlarging(self, in_channels: int, num_doublings: int) -> nn.Sequential:
        parts: list[nn.Module] = []
        for i in range(max(1, num_doublings)):
            parts.append(self._conv_module(self.channels if i else in_channels, self.channels, 3))
            if num_doublings:
                parts.append(Doubled(self.align_corners))
        return nn.Sequential(*parts)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits (N, out_channels, h, w) from the neck's feature maps."""
        maps = self._transform_inputs(inputs)
        outs = [head(x) for head, x in zip(self.scale_heads, maps, strict=True)]
        feats = outs[0]  # (N, channels, h, w)
        for out in outs[1:]:
            feats = feats + self._resized(out, feats.shape[2:])
        return self.cls_seg(feats)
