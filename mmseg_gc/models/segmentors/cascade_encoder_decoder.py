"""The segmentor whose decode head is a row of them."""

from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor, nn

from mmseg_gc.errors import UserError
from mmseg_gc.models.decode_heads import Cascade
from mmseg_gc.models.segmentors.encoder_decoder import EncoderDecoder
from mmseg_gc.registry import MODELS
from mmseg_gc.structures import SegDataSample


@MODELS.register_module()
class CascadeEncoderDecoder(EncoderDecoder):
    """`EncoderDecoder` of ``num_stages`` decode heads, each of which sees what the last one said.

    All other keys are `EncoderDecoder`'s.

    Raises: UserError unless ``decode_head`` is a list of as many.
    Source: ``mmseg.models.CascadeEncoderDecoder``.
    """

    def __init__(
        self,
        num_stages: int,
        backbone: dict,
        decode_head: Sequence[dict],
        neck: dict | None = None,
        auxiliary_head: dict | Sequence[dict] | None = None,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        data_preprocessor: dict | nn.Module | None = None,
        pretrained: str | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        self.num_stages = num_stages
        super().__init__(
            backbone,
            decode_head,  # type: ignore[arg-type]
            neck=neck,
            auxiliary_head=auxiliary_head,
            train_cfg=train_cfg,
            test_cfg=test_cfg,
            data_preprocessor=data_preprocessor,
            pretrained=pretrained,
            init_cfg=init_cfg,
        )

    def _build_decode_head(self, cfg: Sequence[dict]) -> nn.Module:  # type: ignore[override]
        if isinstance(cfg, dict) or len(cfg) != self.num_stages:
            count = 1 if isinstance(cfg, dict) else len(cfg)
            raise UserError(
                f"CascadeEncoderDecoder's num_stages={self.num_stages} and its decode_head, which "
                f"has {count}, do not fit; give a list of as many heads."
            )
        return Cascade(MODELS.build(one) for one in cfg)

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Losses and accuracies of all heads as ``decode_<i>.*``, ``aux.*`` or ``aux_<i>.*``."""
        features = self.extract_feat(inputs)
        losses: dict[str, Tensor] = self.decode_head.losses(features, data_samples, self.train_cfg)
        for prefix, head in self._auxiliary_heads().items():
            of_head = cast("Any", head).loss(features, data_samples, self.train_cfg)
            losses |= {f"{prefix}.{name}": value for name, value in of_head.items()}
        return losses
