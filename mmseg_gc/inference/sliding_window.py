"""Inference in overlapping windows."""

from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from mmseg_gc.inference.label_maps import LogitMap, Size

Place = tuple[slice, slice]  # a window's rows and columns


def window_starts(length: int, crop: int, stride: int) -> list[int]:
    """First pixels of the windows along one side; the last one is pushed back inside.

    Source: ``mmseg.models.EncoderDecoder.slide_inference``.
    """
    count = max(length - crop + stride - 1, 0) // stride + 1
    return [max(min(i * stride, length - crop), 0) for i in range(count)]


class WindowLogits(LogitMap):
    """Mean over overlapping windows of their logits, run through the network as rows need them.

    ``run`` maps windows of ``crop`` size, at most ``batch`` places, to the logits of each.
    ``crop`` and ``stride`` are (h, w) pixels; an image smaller than the crop is one window of its
    own size. Only windows that touch the latest rows are kept: rows asked for in order, up or down,
    cost one run of the network a window.

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
        run: Callable[[list[Place]], Sequence[LogitMap]],
        batch: int = 1,
    ) -> None:
        super().__init__(num_channels, size, device)
        self.tops, self.lefts = (
            window_starts(*sides) for sides in zip(size, crop, stride, strict=True)
        )
        self.height, self.width = (min(sides) for sides in zip(size, crop, strict=True))
        self.run = run
        self.batch = batch
        self._kept: dict[int, list[LogitMap]] = {}

    def rows(self, top: int, bottom: int, memory: Tensor | None = None) -> Tensor:
        touched = [start for start in self.tops if start < bottom and start + self.height > top]
        self._kept = {start: maps for start, maps in self._kept.items() if start in touched}
        shape = (self.num_channels, bottom - top, self.size[1])
        logits = torch.zeros(shape, device=self.device)
        for start in touched:
            if start not in self._kept:
                self._kept[start] = self._row_of_windows(start)
            first, last = max(top, start), min(bottom, start + self.height)
            for left, window in zip(self.lefts, self._kept[start], strict=True):
                part = window.rows(first - start, last - start)
                logits = logits.to(part.dtype)  # float64 for models of that
                logits[:, first - top : last - top, left : left + self.width] += part
        down = _counts(tuple(self.tops), self.height, self.size[0], self.device)
        across = _counts(tuple(self.lefts), self.width, self.size[1], self.device)
        return logits.div_(down[top:bottom, None] * across)

    def _row_of_windows(self, top: int) -> list[LogitMap]:
        rows = slice(top, top + self.height)
        places = [(rows, slice(left, left + self.width)) for left in self.lefts]
        maps: list[LogitMap] = []
        for start in range(0, len(places), self.batch):
            maps += self.run(places[start : start + self.batch])
        return maps


@lru_cache(64)
def _counts(starts: tuple[int, ...], length: int, side: int, device: torch.device) -> Tensor:
    """How many windows hold each of the ``side`` pixels."""
    with torch.inference_mode(False):
        counts = torch.zeros(side, device=device)
        for start in starts:
            counts[start : start + length] += 1
    return counts
