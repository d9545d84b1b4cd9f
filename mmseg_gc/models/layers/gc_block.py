"""The global context block: the operator this project is about."""

from collections.abc import Sequence

import torch
from mmengine.model import constant_init, kaiming_init
from torch import Tensor, nn

from mmseg_gc.errors import UserError
from mmseg_gc.registry import MODELS

POOLING_TYPES = ("att", "avg")
FUSION_TYPES = ("channel_add", "channel_mul")


@MODELS.register_module()
class ContextBlock(nn.Module):
    """Gather one context vector per image, transform it, and lay it into every position.

    (N, C, H, W) in, the same shape and dtype out. ``ratio`` is the bottleneck's width as a share of
    ``in_channels``. The block starts as the identity with ``channel_add``, and as a factor of one
    half with ``channel_mul``.

    Raises: UserError for an unknown pooling or fusion, or a ratio that leaves no channel.
    Source: "GCNet: Non-local Networks Meet Squeeze-Excitation Networks and Beyond",
    arXiv:1904.11492, section 3.3; names, keys and numbers as in ``mmcv.cnn.ContextBlock``.
    """

    _abbr_ = "context_block"  # mmcv names a plugin's state-dict entry after this.

    def __init__(
        self,
        in_channels: int,
        ratio: float,
        pooling_type: str = "att",
        fusion_types: Sequence[str] = ("channel_add",),
    ) -> None:
        super().__init__()
        if pooling_type not in POOLING_TYPES:
            raise UserError(
                f"ContextBlock has no pooling_type={pooling_type!r}; choose one of "
                f"{', '.join(POOLING_TYPES)}."
            )
        # A bare string is a sequence of letters, never of fusions.
        if isinstance(fusion_types, str) or not fusion_types or set(fusion_types) - {*FUSION_TYPES}:
            raise UserError(
                f"ContextBlock cannot take fusion_types={fusion_types!r}; give a tuple of one or "
                f"more of {', '.join(FUSION_TYPES)}."
            )
        planes = int(in_channels * ratio)
        if planes < 1:
            raise UserError(
                f"ContextBlock's ratio={ratio} leaves none of in_channels={in_channels}; "
                f"give a ratio of at least 1/{in_channels}."
            )
        self.in_channels = in_channels
        self.ratio = ratio
        self.planes = planes
        self.pooling_type = pooling_type
        self.fusion_types = tuple(fusion_types)

        if pooling_type == "att":
            self.conv_mask = nn.Conv2d(in_channels, 1, kernel_size=1)
        self.channel_add_conv = self._transform() if "channel_add" in fusion_types else None
        self.channel_mul_conv = self._transform() if "channel_mul" in fusion_types else None
        # Drawn last, as in mmcv: one seed then gives one model in both.
        if pooling_type == "att":
            kaiming_init(self.conv_mask, mode="fan_in")
        self.init_weights()

    def _transform(self) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(self.in_channels, self.planes, kernel_size=1),
            nn.LayerNorm([self.planes, 1, 1]),
            nn.ReLU(inplace=True),
            nn.Conv2d(self.planes, self.in_channels, kernel_size=1),
        )

    def init_weights(self) -> None:
        """Zero the last convolution of each transform.

        mmengine calls this after an enclosing backbone has drawn all its convolutions at random,
        which in ``mmseg`` costs a block that is trained from scratch its start as the identity.
        """
        for transform in (self.channel_add_conv, self.channel_mul_conv):
            if transform is not None:
                constant_init(transform[-1], val=0)

    def spatial_pool(self, x: Tensor) -> Tensor:
        """Context of shape (N, C, 1, 1): the attention-weighted or plain mean over positions."""
        if self.pooling_type == "avg":
            return x.mean(dim=(2, 3), keepdim=True)  # (N, C, 1, 1)
        mask = self.conv_mask(x).flatten(2).softmax(dim=2)  # (N, 1, H*W)
        # Both operands are views, also in channels_last: no copy of x is made. A CPU takes a single
        # row on the left several times faster than a single column on the right.
        context = torch.bmm(mask, x.flatten(2).transpose(1, 2))  # (N, 1, C)
        return context.transpose(1, 2).unsqueeze(-1)  # (N, C, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        context = self.spatial_pool(x)  # (N, C, 1, 1)
        if self.channel_mul_conv is not None:
            x = x * self.channel_mul_conv(context).sigmoid()
        if self.channel_add_conv is not None:
            x = x + self.channel_add_conv(context)
        return x
