"""What every segmentor shares: the modes of forward, and results at the picture's own size."""

import torch
from mmengine.model import BaseModel
from mmengine.structures import PixelData
from torch import Tensor, nn

from mmseg_gc.errors import UserError
from mmseg_gc.models.layers import resize
from mmseg_gc.registry import MODELS
from mmseg_gc.structures import SegDataSample

# Dimensions of (C, H, W) that undo a flip.
FLIP_DIMS = {"horizontal": (2,), "vertical": (1,), "diagonal": (1, 2)}


class BaseSegmentor(BaseModel):
    """Base of segmentors.

    Source: ``mmseg.models.BaseSegmentor``.
    """

    align_corners: bool
    decode_head: nn.Module

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
        """Losses, predictions or bare scores of pictures (N, 3, H, W), by ``mode``."""
        if mode == "loss":
            return self.loss(inputs, data_samples)
        if mode == "predict":
            return self.predict(inputs, data_samples)
        if mode == "tensor":
            return self._forward(inputs, data_samples)
        raise UserError(f"A segmentor has no mode={mode!r}; choose loss, predict or tensor.")

    def postprocess_result(
        self, seg_logits: Tensor, data_samples: list[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        """Write ``seg_logits`` (C, H, W) and ``pred_sem_seg`` (1, H, W) into each sample.

        Padding is cut off, a flip undone, and the scores resized to ``ori_shape``, from which the
        labels follow: uint8 for up to 256 classes, else int64. A single channel is returned as the
        probability of class 1. Without samples the scores stay at the network's size.
        """
        if data_samples is None:
            data_samples = [SegDataSample() for _ in seg_logits]
            results = list(seg_logits)
        else:
            results = [
                self._at_original_size(logits, sample.metainfo)
                for logits, sample in zip(seg_logits, data_samples, strict=True)
            ]
        for sample, logits in zip(data_samples, results, strict=True):
            if logits.size(0) == 1:
                logits = logits.sigmoid()
            sample.seg_logits = PixelData(data=logits)
            sample.pred_sem_seg = PixelData(data=labels_of(logits, self.decode_head.threshold))
        return data_samples

    def _at_original_size(self, logits: Tensor, meta: dict) -> Tensor:
        # The data preprocessor pads when testing, transforms pad before it.
        padding = meta.get("img_padding_size", meta.get("padding_size", (0, 0, 0, 0)))
        left, right, top, bottom = padding
        _, height, width = logits.shape
        logits = logits[:, top : height - bottom, left : width - right]
        if meta.get("flip"):
            logits = logits.flip(FLIP_DIMS[meta["flip_direction"]])
        return resize(
            logits.unsqueeze(0),
            size=meta["ori_shape"][:2],
            mode="bilinear",
            align_corners=self.align_corners,
            warning=False,
        ).squeeze(0)


def labels_of(scores: Tensor, threshold: float | None) -> Tensor:
    """Labels (1, H, W) of scores (C, H, W); one channel is a probability held to ``threshold``."""
    if scores.size(0) == 1:
        return (scores > threshold).to(torch.uint8)
    labels = scores.max(dim=0, keepdim=True).indices  # Several times as fast as argmax on CPU.
    return labels.to(torch.uint8) if scores.size(0) <= 256 else labels
