"""Whether a model is as sure as it is right."""

import numpy as np
import torch
from torch import Tensor

from mmseg_gc.inference import LogitMap, Watch
from mmseg_gc.inference.label_maps import DEFAULT_THRESHOLD
from mmseg_gc.structures import SegDataSample

BINS = 15
TABLES = 32  # that a GPU adds up at the same time
COUNT, RIGHT, CONFIDENCE = range(3)


class CalibrationWatcher:
    """Sorts the labelled pixels of each image by the confidence of their prediction.

    It is one of an `EncoderDecoder`'s ``watchers``. `take` hands out what an image gave: (3,
    `BINS`), float64, on the model's device: how many pixels, how many of them right, the sum of
    their confidences. ``threshold`` is a single channel's.
    """

    def __init__(self, ignore_index: int, threshold: float | None) -> None:
        self.ignore_index = ignore_index
        self.threshold = threshold
        self._tables: dict[int, Tensor] = {}

    def __call__(self, sample: SegDataSample, logits: LogitMap) -> Watch | None:
        if "gt_sem_seg" not in sample or tuple(sample.gt_sem_seg.data.shape[1:]) != logits.size:
            return None
        label = sample.gt_sem_seg.data[0].to(logits.device, non_blocking=True)
        shape = (3, TABLES, BINS + 1)
        tables = torch.zeros(shape, dtype=torch.float64, device=logits.device)
        self._tables[id(sample)] = tables

        @torch.no_grad()
        def watch(rows: Tensor, top: int) -> None:
            wanted = label[top : top + rows.shape[1]]
            confidence, chosen = _most_likely(rows, logits.holds_probabilities, self.threshold)
            _count(tables, confidence, chosen == wanted, wanted != self.ignore_index)

        return watch

    def take(self, sample: SegDataSample) -> Tensor | None:
        """What ``sample`` gave, once."""
        tables = self._tables.pop(id(sample), None)
        return None if tables is None else tables.sum(dim=1)[:, :BINS]


def _most_likely(
    rows: Tensor, holds_probabilities: bool, threshold: float | None
) -> tuple[Tensor, Tensor]:
    """Confidence (h, W) and label (h, W) of the prediction of ``rows`` (C, h, W)."""
    if len(rows) == 1:
        of_one = rows[0] if holds_probabilities else rows[0].sigmoid()
        chosen = (of_one > (DEFAULT_THRESHOLD if threshold is None else threshold)).to(torch.int64)
        return torch.where(chosen == 1, of_one, 1 - of_one), chosen
    best, chosen = rows.max(dim=0)
    return best if holds_probabilities else (best - rows.logsumexp(dim=0)).exp(), chosen


def _count(tables: Tensor, confidence: Tensor, right: Tensor, counts: Tensor) -> None:
    """Add pixels (h, W) to ``tables``; nothing here makes the host wait for a GPU."""
    confidence = confidence.double().nan_to_num(0)
    place = (confidence * BINS).long().clamp(0, BINS - 1).masked_fill(~counts, BINS)
    row = torch.arange(len(place), device=place.device).remainder(TABLES).mul(BINS + 1)
    place = (place + row[:, None]).flatten()
    # One after the other: of more dimensions, a GPU can't add deterministically.
    of_pixels = (torch.ones_like(confidence), right.double(), confidence)
    for table, values in zip(tables.view(3, -1), of_pixels, strict=True):
        table.scatter_add_(0, place, values.flatten())


def calibration_error(table: np.ndarray) -> float:
    """The expected calibration error, a ratio, of (3, `BINS`) as `CalibrationWatcher` has it.

    Source: Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", 2015.
    """
    total = table[COUNT].sum()
    if not total:
        return float("nan")
    return float(np.abs(table[RIGHT] - table[CONFIDENCE]).sum() / total)
