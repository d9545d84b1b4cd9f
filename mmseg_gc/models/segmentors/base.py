"""What every segmentor shares: the modes of forward, and results at the picture's own size."""

from mmengine.model import BaseModel
from mmengine.structures import PixelData
from torch import Tensor, nn

from mmseg_gc.errors import UserError
from mmseg_gc.models.segmentors.labels import label_map, labels_of
from mmseg_gc.models.segmentors.score_maps import (
    CroppedScores,
    DenseScores,
    FlippedScores,
    ResizedScores,
    ScoreMap,
    SigmoidScores,
)
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
        samples = data_samples or [SegDataSample() for _ in seg_logits]
        for logits, sample in zip(seg_logits, samples, strict=True):
            scores = self.at_original_size(DenseScores(logits), sample.metainfo)
            self.write_result(sample, scores, with_logits=True)
        return samples

    def at_original_size(self, scores: ScoreMap, meta: dict) -> ScoreMap:
        """``scores`` of the network's input, brought to the picture that ``meta`` tells of."""
        # The data preprocessor pads when testing, transforms pad before it.
        padding = meta.get("img_padding_size", meta.get("padding_size", (0, 0, 0, 0)))
        if any(padding):
            scores = CroppedScores(scores, padding)
        if meta.get("flip"):
            scores = FlippedScores(scores, FLIP_DIMS[meta["flip_direction"]])
        size = tuple(meta.get("ori_shape", scores.size)[:2])
        if size != scores.size:
            scores = ResizedScores(scores, size, self.align_corners)
        return SigmoidScores(scores) if scores.num_channels == 1 else scores

    def write_result(
        self,
        sample: SegDataSample,
        scores: ScoreMap,
        *,
        with_logits: bool = False,
        budget: int | None = None,
    ) -> None:
        """Set ``pred_sem_seg``, and ``seg_logits`` if asked for, from scores of the whole picture.

        ``budget`` is as in `label_map`.
        """
        threshold = self.decode_head.threshold
        if with_logits:
            logits = scores.rows(0, scores.size[0])
            sample.seg_logits = PixelData(data=logits)
            labels = labels_of(logits, threshold)
        else:
            labels = label_map(scores, threshold, budget)
        sample.pred_sem_seg = PixelData(data=labels)
