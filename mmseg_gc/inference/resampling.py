"""Resampling along one side of an image: resizing, cropping and flipping, any number in a row.

A side is resampled by weights: each pixel of the result is the sum of a few of the source's, each
times its weight. Steps in a row make one set of weights, so that no image between is ever made.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Pixels = TypeVar("Pixels", Tensor, np.ndarray)


@dataclass(frozen=True)
class ResamplingWeights:
    """Which pixels make each of n, and by what weights: both (k, n), int64 and float32."""

    index: Tensor
    weight: Tensor

    def __len__(self) -> int:
        return self.index.shape[1]

    def then(self, other: "ResamplingWeights") -> "ResamplingWeights":
        """These and, of the pixels that they make, ``other``: as one."""
        weight = self.weight[:, other.index] * other.weight
        return ResamplingWeights(self.index[:, other.index].flatten(0, 1), weight.flatten(0, 1))

    def part(self, start: int, stop: int, seen: range) -> "ResamplingWeights":
        """Those of the pixels from ``start`` up to ``stop``, of a source that is ``seen`` alone."""
        index = (self.index[:, start:stop] - seen.start).clamp_(0, len(seen) - 1)
        return ResamplingWeights(index, self.weight[:, start:stop])

    def matrix(self, height: int) -> Tensor:
        """(n, height), which makes these pixels of ``height`` of them."""
        index, weight = self.index.t(), self.weight.t()
        return weight.new_zeros(len(self), height).scatter_add_(1, index, weight)

    def applied(
        self, rows: Tensor, out: Tensor | None = None, matrix: Tensor | None = None
    ) -> Tensor:
        """Rows (n, W) made of ``rows`` (h, W).

        ``out``, which only a CPU takes and nothing with a gradient, is the memory to make them in;
        ``matrix`` is what `matrix` gives for h, where that is at hand.
        """
        if out is None and len(self.index) == 1:
            return rows.index_select(0, self.index[0])
        matrix = (self.matrix(len(rows)) if matrix is None else matrix).to(rows.dtype)
        if out is not None:
            return self._product(matrix, rows, out)
        # One launch that fills a GPU. Autocast would do it in half precision, and with tf32=True
        # its weights have ten bits.
        with torch.autocast(rows.device.type, enabled=False):
            return matrix @ rows

    def _product(self, matrix: Tensor, rows: Tensor, out: Tensor) -> Tensor:
        # A part for each thread, which has the same rows in the functions that follow. Split in
        # another way, labels took up to three times as long where cores exchange data slowly.
        threads = torch.get_num_threads()
        parts = threads if len(self) % threads == 0 else 1
        # With out=, since autocast would do a product in bfloat16.
        torch.bmm(
            matrix.view(parts, -1, len(rows)),
            rows.expand(parts, -1, -1),
            out=out.view(parts, -1, rows.shape[1]),
        )
        return out


@dataclass(frozen=True)
class Resize:
    """Linear interpolation of ``source`` pixels to ``target``.

    Source: ``torch.nn.functional.interpolate``, whose float32 arithmetic this is.
    """

    source: int
    target: int
    align_corners: bool

    def weights(self, device: torch.device) -> ResamplingWeights:
        position = self._position(torch.arange(self.target, dtype=torch.float32, device=device))
        lower = position.long().clamp_(max=self.source - 1)
        upper = (lower + 1).clamp_(max=self.source - 1)
        share = position - lower
        return ResamplingWeights(torch.stack([lower, upper]), torch.stack([1 - share, share]))

    def _position(self, pixels: Pixels) -> Pixels:
        if self.align_corners:
            return pixels * ((self.source - 1) / max(self.target - 1, 1))
        return ((pixels + 0.5) * (self.source / self.target) - 0.5).clip(min=0)

    def seen(self, pixels: range) -> range:
        ends = np.array([pixels.start, pixels.stop - 1], np.float32)
        first, last = self._position(ends).astype(int)
        return range(min(first, self.source - 1), min(last + 2, self.source))

    def across(self, rows: Tensor) -> Tensor:
        size, corners = self.target, self.align_corners
        if not rows.is_cuda:
            return F.interpolate(rows[None], size, mode="linear", align_corners=corners)[0]
        # The same numbers: a GPU's one-dimensional kernel keeps few of its cores busy.
        plane = (len(rows), size)
        return F.interpolate(rows[None, None], plane, mode="bilinear", align_corners=corners)[0, 0]


@dataclass(frozen=True)
class Crop:
    """The pixels from ``start`` up to ``stop``."""

    start: int
    stop: int

    def weights(self, device: torch.device) -> ResamplingWeights:
        return _picked(torch.arange(self.start, self.stop, device=device))

    def seen(self, pixels: range) -> range:
        return range(pixels.start + self.start, pixels.stop + self.start)

    def across(self, rows: Tensor) -> Tensor:
        return rows[:, self.start : self.stop]


@dataclass(frozen=True)
class Flip:
    """The ``length`` pixels of a side from its end to its start."""

    length: int

    def weights(self, device: torch.device) -> ResamplingWeights:
        return _picked(torch.arange(self.length - 1, -1, -1, device=device))

    def seen(self, pixels: range) -> range:
        return range(self.length - pixels.stop, self.length - pixels.start)

    def across(self, rows: Tensor) -> Tensor:
        return rows.flip(1)


Steps = tuple[Resize | Crop | Flip, ...]


def _picked(index: Tensor) -> ResamplingWeights:
    weight = torch.ones(1, len(index), device=index.device)
    return ResamplingWeights(index.unsqueeze(0), weight)


@lru_cache(256)
def weights_of(steps: Steps, device: torch.device) -> ResamplingWeights:
    """The weights of one or more ``steps`` in a row, made on ``device`` and kept there."""
    with torch.inference_mode(False):  # or nothing with a gradient could use them later
        weights = steps[0].weights(device)
        for step in steps[1:]:
            weights = weights.then(step.weights(device))
    return weights


@lru_cache(512)
def part_of(
    steps: Steps, device: torch.device, start: int, stop: int
) -> tuple[ResamplingWeights, Tensor]:
    """`weights_of` the pixels from ``start`` up to ``stop``, and their matrix, kept on ``device``.

    They are of that part of the source which those pixels are made of.
    """
    seen = seen_by(steps, range(start, stop))
    with torch.inference_mode(False):
        part = weights_of(steps, device).part(start, stop, seen)
        return part, part.matrix(len(seen))


def seen_by(steps: Steps, pixels: range) -> range:
    """The source's pixels from the first to the last that ``pixels`` are made of."""
    for step in reversed(steps):
        pixels = step.seen(pixels)
    return pixels
