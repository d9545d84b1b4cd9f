"""Inference in overlapping windows."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mmseg_gc.models.segmentors.score_maps import ScoreMap, Size


def window_starts(length: int, crop: int, stride: int) -> list[int]:
    """First pixels of the windows along one side; the last one is pushed back inside.

    Source: ``mmseg.models.EncoderDecoder.slide_inference``.
    """
    count = max(length - crop + stride - 1, 0) // stride + 1
    return [max(min(i * stride, length - crop), 0) for i in range(count)]


class WindowScores(ScoreMap):
    """Mean over overlapping windows of their scores, run through the network as rows need them.

    ``score`` maps windows of ``crop`` size, at most ``batch`` slices ``(rows, columns)``, to the
    scores of each. ``crop`` and ``stride`` are (h, w) pixels; a picture smaller than the crop is
    one window of its own size. Only windows that touch the latest rows are kept: rows asked for in
    order, up or down, cost one run of the network a window.

    Source: ``mmseg.models.EncoderDecoder.slide_inference``.
    """

    def __init__(
        self,
        num_channels: int,
        size: Size,
        device: torch.device,
        *,
        crop: Size,
        stride: Size,
        score: Callable[[list[tuple[slice, slice]]], Sequence[ScoreMap]],
        batch: int = 1,
    ) -> None:
        super().__init__(num_channels, size, device)
        self.tops, self.lefts = (
            window_starts(*sides) for sides in zip(size, crop, stride, strict=True)
        )
        self.height, self.width = (min(sides) for sides in zip(size, crop, strict=True))
        self.score = score
        self.batch = batch
        self._kept: dict[int, list[ScoreMap]] = {}

    def rows(self, top: int, bottom: int) -> Tensor:
        touched = [start for start in self.tops if start < bottom and start + self.height > top]
        self._kept = {start: maps for start, maps in self._kept.items() if start in touched}
        counts = torch.zeros(bottom - top, self.size[1], device=self.device)
        scores = torch.zeros(self.num_channels, *counts.shape, device=self.device)
        for start in touched:
            if start not in self._kept:
                self._kept[start] = self._run(start)
            first, last = max(top, start), min(bottom, start + self.height)
            for left, window in zip(self.lefts, self._kept[start], strict=True):
                place = (..., slice(first - top, last - top), slice(left, left + self.width))
                part = window.rows(first - start, last - start)
                scores = scores.to(part.dtype)  # float64 for models of that
                scores[place] += part
                counts[place] += 1
        return scores.div_(counts)

    def _run(self, top: int) -> list[ScoreMap]:
        """Scores of the windows in one row of them."""
        rows = slice(top, top + self.height)
        places = [(rows, slice(left, left + self.width)) for left in self.lefts]
        maps = []
        for start in range(0, len(places), self.batch):
            maps += self.score(places[start : start + self.batch])
        return maps
