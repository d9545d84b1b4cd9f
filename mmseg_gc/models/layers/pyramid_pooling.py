"""The pyramid of pooled maps that PSPNet and UPerNet share."""

from collections.abc import Sequence
from typing import Any

from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmseg_gc.errors import UserError
from mmseg_gc.models.layers.resize import resize


def check_scales(name: str, key: str, scales: Sequence[int], length: int | None = None) -> None:
    """Refuse what isn't a sequence, of that ``length`` or at least one, of numbers from 1 on.

    Raises: UserError with the name of the head and its key.
    """
    is_list = isinstance(scales, list | tuple) and len(scales) == (length or len(scales) or 1)
    if not is_list or not all(isinstance(scale, int) and scale > 0 for scale in scales):
        count = "" if length is None else f"{length} "
        raise UserError(
            f"{name} cannot take {key}={scales!r}; give a tuple of {count}whole numbers from 1 on."
        )


class PyramidPooling(nn.ModuleList):
    """(N, in_channels, H, W) pooled to each of ``pool_scales``, as maps (N, channels, H, W).

    Source: "Pyramid Scene Parsing Network", arXiv:1612.01105, section 3.2.
    """

    def __init__(
        self,
        pool_scales: Sequence[int],
        in_channels: int,
        channels: int,
        *,
        align_corners: bool,
        **layer_cfgs: Any,
    ) -> None:
        super().__init__(
            nn.Sequential(
                nn.AdaptiveAvgPool2d(scale), ConvModule(in_channels, channels, 1, **layer_cfgs)
            )
            for scale in pool_scales
        )
        self.align_corners = align_corners

    def forward(self, x: Tensor) -> list[Tensor]:
        size = x.shape[2:]
        return [
            resize(part(x), size, None, "bilinear", self.align_corners, warning=False)
            for part in self
        ]
