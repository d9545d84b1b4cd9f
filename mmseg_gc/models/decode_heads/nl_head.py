"""The non-local head."""

from collections.abc import Sequence
from typing import Unpack

from torch import Tensor

from mmseg_gc.errors import UserError
from mmseg_gc.models.decode_heads.fcn_head import FCNHead, FCNHeadOptions
from mmseg_gc.models.layers import NonLocal2d
from mmseg_gc.registry import MODELS

MODES = ("gaussian", "embedded_gaussian", "dot_product", "concatenation")


def check_non_local(name: str, channels: int, reduction: int, mode: str) -> None:
    """Raises: UserError for an unknown mode, or a reduction that leaves no channel."""
    if mode not in MODES:
        raise UserError(f"{name} has no mode={mode!r}; choose one of {', '.join(MODES)}.")
    if not 1 <= reduction <= channels:
        raise UserError(
            f"{name}'s reduction={reduction} leaves none of channels={channels}; give 1 to "
            f"{channels}."
        )


@MODELS.register_module()
class NLHead(FCNHead):
    """`FCNHead` of two convolutions with a `NonLocal2d` block between them.

    ``reduction`` divides the width in which positions are compared; ``mode`` is how they are, with
    ``use_scale`` divided by the square root of that width.

    Raises: UserError for an unknown mode, or a reduction that leaves no channel.
    Source: "Non-local Neural Networks", arXiv:1711.07971, section 3; ``mmseg.models.NLHead``.
    """

    known_by = ("convs", "nl_block")

    def __init__(
        self,
        *,
        in_channels: int | Sequence[int],
        channels: int,
        num_classes: int,
        reduction: int = 2,
        use_scale: bool = True,
        mode: str = "embedded_gaussian",
        **options: Unpack[FCNHeadOptions],
    ) -> None:
        check_non_local(type(self).__name__, channels, reduction, mode)
        super().__init__(
            in_channels=in_channels,
            channels=channels,
            num_classes=num_classes,
            num_convs=2,
            **options,
        )
        self.nl_block = NonLocal2d(
            in_channels=channels,
            reduction=reduction,
            use_scale=use_scale,
            conv_cfg=self.conv_cfg,
            norm_cfg=self.norm_cfg,
            mode=mode,
        )

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits (N, out_channels, h, w) from the backbone's feature maps."""
        return self._around(self.nl_block, inputs)
