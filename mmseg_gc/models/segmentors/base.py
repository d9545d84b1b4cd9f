"""What every segmentor shares: modes of forward, results of whole images, methods of users."""

from typing import Any

from mmengine.model import BaseModel
from torch import Tensor, nn

from mmseg_gc.errors import UserError
from mmseg_gc.inference import ResampledLogits, at_original_size, write_result
from mmseg_gc.registry import MODELS
from mmseg_gc.structures import SegDataSample


class BaseSegmentor(BaseModel):
    """Base of segmentors.

    Source: ``mmseg.models.BaseSegmentor``.
    """

    align_corners: bool
    data_preprocessor: Any  # of whatever class a config names, as heads are
    decode_head: Any

    def __init__(
        self,
        data_preprocessor: dict | nn.Module | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        if isinstance(data_preprocessor, dict):
            # Built here, since mmengine would look the name up in its own registry only.
            data_preprocessor = MODELS.build(data_preprocessor)
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.neck: nn.Module | None = None
        self.auxiliary_head: nn.Module | None = None

    @property
    def with_neck(self) -> bool:
        return self.neck is not None

    @property
    def with_auxiliary_head(self) -> bool:
        return self.auxiliary_head is not None

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        raise NotImplementedError

    def predict(
        self, inputs: Tensor, data_samples: list[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        raise NotImplementedError

    def _forward(self, inputs: Tensor, data_samples: list[SegDataSample] | None = None) -> Tensor:
        raise NotImplementedError

    def forward(
        self,
        inputs: Tensor,
        data_samples: list[SegDataSample] | None = None,
        mode: str = "tensor",
    ) -> dict[str, Tensor] | list[SegDataSample] | Tensor:
        """Losses, predictions or bare logits of images (N, 3, H, W), by ``mode``."""
        if mode == "loss":
            return self.loss(inputs, data_samples or [])
        if mode == "predict":
            return self.predict(inputs, data_samples)
        if mode == "tensor":
            return self._forward(inputs, data_samples)
        raise UserError(f"A segmentor has no mode={mode!r}; choose loss, predict or tensor.")

    def postprocess_result(
        self, seg_logits: Tensor, data_samples: list[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        """Write ``seg_logits`` (C, H, W) and ``pred_sem_seg`` (1, H, W) into each sample.

        Padding is cut off, a flip undone, and the logits resized to ``ori_shape``, from which the
        labels follow: uint8 for up to 256 classes, else int64. A single channel is returned as the
        probability of class 1. Without samples the logits stay at the network's size.
        """
        samples = data_samples or [SegDataSample() for _ in seg_logits]
        for logits, sample in zip(seg_logits, samples, strict=True):
            logits = at_original_size(ResampledLogits(logits), sample.metainfo, self.align_corners)
            write_result(sample, logits, threshold=self.decode_head.threshold, with_logits=True)
        return samples


def overrides(part: object, base: type, *names: str) -> bool:
    """Whether a subclass of ``base``, or ``part`` itself, has another method of these ``names``.

    A ``part`` that is no ``base`` at all overrides what it has.
    """
    for name in names:
        method = getattr(part, name, None)
        if method is not None and getattr(method, "__func__", method) is not getattr(base, name):
            return True
    return False
