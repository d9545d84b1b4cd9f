"""Scores of one picture that are computed a band of rows at a time.

A network's scores are small; what is large are the same scores at the picture's size, 160 MB for
Cityscapes. Each map below makes any of its rows from the rows of the map under it, so that labels
need no full-size scores.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Size = tuple[int, int]


class ScoreMap:
    """Base of maps of ``num_channels`` scores a pixel, ``size`` (h, w), on ``device``."""

    def __init__(self, num_channels: int, size: Size, device: torch.device) -> None:
        self.num_channels = num_channels
        self.size = size
        self.device = device

    def rows(self, top: int, bottom: int) -> Tensor:
        """Scores (C, bottom - top, W), floating, of the rows from ``top`` up to ``bottom``."""
        raise NotImplementedError


class DenseScores(ScoreMap):
    """Scores (C, H, W) that are there."""

    def __init__(self, scores: Tensor) -> None:
        super().__init__(scores.shape[0], tuple(scores.shape[1:]), scores.device)
        self.scores = scores

    def rows(self, top: int, bottom: int) -> Tensor:
        return self.scores[:, top:bottom]


class ResizedScores(ScoreMap):
    """Bilinear interpolation of ``source`` to ``size`` (h, w).

    Source: ``torch.nn.functional.interpolate``, whose numbers these are up to rounding.
    """

    def __init__(self, source: ScoreMap, size: Size, align_corners: bool) -> None:
        super().__init__(source.num_channels, size, source.device)
        self.source = source
        self.align_corners = align_corners
        self.lower, self.upper, self.weight = _taps(source.size[0], size[0], align_corners)

    def rows(self, top: int, bottom: int) -> Tensor:
        if self.size[0] == self.source.size[0]:
            return self._widened(self.source.rows(top, bottom))
        first, last = int(self.lower[top]), int(self.upper[bottom - 1])
        source = self._widened(self.source.rows(first, last + 1))
        lower, upper = self.lower[top:bottom] - first, self.upper[top:bottom] - first
        weight = self.weight[top:bottom].to(source).unsqueeze(1)  # (rows, 1)
        if source.is_cuda or source.requires_grad:
            return torch.lerp(source[:, lower], source[:, upper], weight)
        # Rows between the same two of the source are made at once, from views of them.
        rows = source.new_empty(len(source), bottom - top, self.size[1])
        starts, counts = torch.unique_consecutive(lower, return_counts=True)
        at = 0
        for start, count in zip(starts.tolist(), counts.tolist(), strict=True):
            above, below = source[:, start, None], source[:, upper[at], None]  # (C, 1, W)
            here = slice(at, at + count)
            torch.lerp(above, below, weight[here], out=rows[:, here])
            at += count
        return rows

    def _widened(self, rows: Tensor) -> Tensor:
        channels, height, width = rows.shape
        if width == self.size[1]:
            return rows
        # Sideways first: before the other way there are fewer rows to do this for.
        rows = rows.reshape(1, channels * height, width)
        rows = F.interpolate(rows, self.size[1], mode="linear", align_corners=self.align_corners)
        return rows.view(channels, height, self.size[1])


def _taps(source: int, target: int, align_corners: bool) -> tuple[Tensor, Tensor, Tensor]:
    """For each of ``target`` positions the two of ``source`` around it, and how near the second."""
    position = torch.arange(target, dtype=torch.float32)
    if align_corners:
        position *= (source - 1) / max(target - 1, 1)
    else:
        position = ((position + 0.5) * (source / target) - 0.5).clamp_(min=0)
    lower = position.long().clamp_(max=source - 1)
    return lower, (lower + 1).clamp_(max=source - 1), position - lower


class CroppedScores(ScoreMap):
    """``source`` without ``padding``: (left, right, top, bottom) pixels."""

    def __init__(self, source: ScoreMap, padding: Sequence[int]) -> None:
        left, right, top, bottom = padding
        height, width = source.size
        size = (height - top - bottom, width - left - right)
        super().__init__(source.num_channels, size, source.device)
        self.source = source
        self.top = top
        self.columns = slice(left, width - right)

    def rows(self, top: int, bottom: int) -> Tensor:
        return self.source.rows(top + self.top, bottom + self.top)[:, :, self.columns]


class FlippedScores(ScoreMap):
    """``source`` mirrored along ``dims`` of (C, H, W)."""

    def __init__(self, source: ScoreMap, dims: Sequence[int]) -> None:
        super().__init__(source.num_channels, source.size, source.device)
        self.source = source
        self.dims = tuple(dims)

    def rows(self, top: int, bottom: int) -> Tensor:
        if 1 in self.dims:
            top, bottom = self.size[0] - bottom, self.size[0] - top
        return self.source.rows(top, bottom).flip(self.dims)


class SigmoidScores(ScoreMap):
    """Probabilities of ``source``, each channel by itself."""

    def __init__(self, source: ScoreMap) -> None:
        super().__init__(source.num_channels, source.size, source.device)
        self.source = source

    def rows(self, top: int, bottom: int) -> Tensor:
        return self.source.rows(top, bottom).sigmoid()


class MeanProbabilities(ScoreMap):
    """Mean of the class probabilities of ``views``; a single channel is one already."""

    def __init__(self, views: Sequence[ScoreMap]) -> None:
        super().__init__(views[0].num_channels, views[0].size, views[0].device)
        self.views = views

    def rows(self, top: int, bottom: int) -> Tensor:
        total = None
        for view in self.views:
            scores = view.rows(top, bottom)
            if self.num_channels > 1:
                scores = scores.softmax(dim=0)
            total = scores.clone() if total is None else total.add_(scores)
        return total / len(self.views)
