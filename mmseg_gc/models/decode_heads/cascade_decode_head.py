"""Heads in a row, each of which sees what the one before it said."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor, nn

from mmseg_gc.models.decode_heads.decode_head import BaseDecodeHead
from mmseg_gc.structures import SegDataSample

# What a cascade has of its last head.
SHARED = (
    *("num_classes", "out_channels", "align_corners", "ignore_index", "threshold"),
    *("loss_decode", "in_channels", "channels"),
)


class BaseCascadeDecodeHead(BaseDecodeHead):
    """Base of heads that turn feature maps and the logits of another head into logits.

    Source: ``mmseg.models.decode_heads.cascade_decode_head``.
    """

    @abstractmethod
    def forward(self, inputs: Sequence[Tensor], prev_output: Tensor) -> Tensor:  # type: ignore[override]
        """Logits (N, out_channels, h, w), also from ``prev_output`` (N, out_channels, h', w')."""

    def loss(  # type: ignore[override]
        self,
        inputs: Sequence[Tensor],
        prev_output: Tensor,
        batch_data_samples: list[SegDataSample],
        train_cfg: dict | None = None,
    ) -> dict[str, Tensor]:
        """Losses by name, and the accuracy in percent as ``acc_seg``."""
        return self.loss_by_feat(self(inputs, prev_output), batch_data_samples)

    def predict(  # type: ignore[override]
        self,
        inputs: Sequence[Tensor],
        prev_output: Tensor,
        batch_img_metas: list[dict],
        test_cfg: dict | None = None,
    ) -> Tensor:
        """Logits (N, out_channels, H, W) at the size of the network's input."""
        return self.predict_by_feat(self(inputs, prev_output), batch_img_metas)


class Cascade(nn.ModuleList):
    """A decode head and the cascade heads behind it, which together are one decode head."""

    def __getattr__(self, name: str) -> Any:
        if name in SHARED:
            return getattr(self[-1], name)
        return super().__getattr__(name)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits (N, out_channels, h, w) of the last head from the backbone's feature maps."""
        logits = self[0](inputs)
        for head in list(self)[1:]:
            logits = head(inputs, logits)
        return logits

    def held_numbers(self, positions: int) -> int:
        return max(cast("Any", head).held_numbers(positions) for head in self)

    def losses(
        self, inputs: Sequence[Tensor], samples: list[SegDataSample], train_cfg: dict | None
    ) -> dict[str, Tensor]:
        """Losses and accuracies of all heads as ``decode_<i>.*``.

        The first head looks at its input once; in ``mmseg`` it looks once more for the second one,
        with its dropout drawn anew, and moves its running statistics twice.
        """
        first, *others = cast("list[Any]", list(self))
        logits = first(inputs)
        losses = [first.loss_by_feat(logits, samples)]
        for head in others[:-1]:
            logits = head(inputs, logits)
            losses.append(head.loss_by_feat(logits, samples))
        losses += [head.loss(inputs, logits, samples, train_cfg) for head in others[-1:]]
        return {f"decode_{i}.{k}": v for i, one in enumerate(losses) for k, v in one.items()}

    def check_labels(self, batch_data_samples: list[SegDataSample]) -> None:
        cast("Any", self[-1]).check_labels(batch_data_samples)
