"""The disentangled non-local head."""

from collections.abc import Sequence
from typing import Unpack

from torch import Tensor

from mmseg_gc.errors import UserError
from mmseg_gc.models.decode_heads.fcn_head import FCNHead, FCNHeadOptions
from mmseg_gc.models.decode_heads.nl_head import check_non_local
from mmseg_gc.models.layers import DisentangledNonLocal2d
from mmseg_gc.registry import MODELS


@MODELS.register_module()
class DNLHead(FCNHead):
    """`FCNHead` of two convolutions with a `DisentangledNonLocal2d` block between them.

    The keys are `NLHead`'s, and ``temperature``, which below 1 sharpens the pairwise term of
    "embedded_gaussian".

    Raises: UserError for an unknown mode, a temperature of 0 or less, or no channel left.
    Source: "Disentangled Non-Local Neural Networks", arXiv:2006.06668, section 4;
    ``mmseg.models.DNLHead``.
    """

    known_by = ("convs", "dnl_block")

    def __init__(
        self,
        *,
        in_channels: int | Sequence[int],
        channels: int,
        num_classes: int,
        reduction: int = 2,
        use_scale: bool = True,
        mode: str = "embedded_gaussian",
        temperature: float = 0.05,
        **options: Unpack[FCNHeadOptions],
    ) -> None:
        check_non_local(type(self).__name__, channels, reduction, mode)
        if temperature <= 0:
            raise UserError(
                f"{type(self).__name__}'s temperature={temperature} divides what is compared; give "
                "one above 0."
            )
        super().__init__(
            in_channels=in_channels,
            channels=channels,
            num_classes=num_classes,
            num_convs=2,
            **options,
        )
        self.dnl_block = DisentangledNonLocal2d(
            in_channels=channels,
            reduction=reduction,
            use_scale=use_scale,
            conv_cfg=self.conv_cfg,
            norm_cfg=self.norm_cfg,
            mode=mode,
            temperature=temperature,
        )

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits (N, out_channels, h, w) from the backbone's feature maps."""
        return self._around(self.dnl_block, inputs)
