"""Scores of one picture that are computed a band of rows at a time.

A network's scores are small; what is large are the same scores at the picture's size, 160 MB for
Cityscapes. Each map below makes any of its rows from the rows of the map under it, so that labels
need no full-size scores.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_gc.models.layers.scratch import scratch

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

    @contextmanager
    def band(self, top: int, bottom: int) -> Iterator[Tensor]:
        """`rows` in memory that may be written to, and that others use afterwards."""
        yield self.rows(top, bottom)


class DenseScores(ScoreMap):
    """Scores (C, H, W) that are there."""

    def __init__(self, scores: Tensor) -> None:
        super().__init__(scores.shape[0], tuple(scores.shape[1:]), scores.device)
        self.scores = scores

    def by_rows(self) -> "DenseScores":
        """The same, laid out row by row rather than channel by channel or pixel by pixel."""
        return DenseScores(self.scores.transpose(0, 1).contiguous().transpose(0, 1))

    def rows(self, top: int, bottom: int) -> Tensor:
        return self.scores[:, top:bottom]

    @contextmanager
    def band(self, top: int, bottom: int) -> Iterator[Tensor]:
        yield self.rows(top, bottom).clone()


@dataclass(frozen=True)
class Taps:
    """How the pixels along one side are made: from which of another's, and by what weights.

    Both (k, n), int64 and float32, for n pixels of k others each.
    """

    index: Tensor
    weight: Tensor

    @classmethod
    def of(cls, index: Tensor) -> "Taps":
        """That pick the pixels of ``index`` (n,)."""
        return cls(index.unsqueeze(0), torch.ones(1, len(index)))

    @classmethod
    def resizing(cls, source: int, target: int, align_corners: bool) -> "Taps":
        """That interpolate ``source`` pixels to ``target`` as torch's ``interpolate`` does."""
        if source == target:
            return cls.of(torch.arange(target))
        position = torch.arange(target, dtype=torch.float32)
        if align_corners:
            position *= (source - 1) / max(target - 1, 1)
        else:
            position = ((position + 0.5) * (source / target) - 0.5).clamp_(min=0)
        lower = position.long().clamp_(max=source - 1)
        upper = (lower + 1).clamp_(max=source - 1)
        weight = position - lower
        return cls(torch.stack([lower, upper]), torch.stack([1 - weight, weight]))

    def __len__(self) -> int:
        return self.index.shape[1]

    def then(self, other: "Taps") -> "Taps":
        """These and, of the pixels that they make, ``other``: as one."""
        weight = self.weight[:, other.index] * other.weight
        return Taps(self.index[:, other.index].flatten(0, 1), weight.flatten(0, 1))

    def part(self, start: int, stop: int) -> tuple["Taps", slice]:
        """Those from ``start`` up to ``stop``, of the pixels in a slice, which is the second."""
        index = self.index[:, start:stop]
        first, last = index.min().item(), index.max().item()
        return Taps(index - first, self.weight[:, start:stop]), slice(first, last + 1)

    def applied(self, pixels: Tensor, pool: Tensor | None = None) -> Tensor:
        """What these taps make of ``pixels`` (h, W): (n, W), in memory of ``pool`` if it is given.

        The pool is for processors, and for what has no gradient.
        """
        if pool is not None:
            return self._product(pixels, pool.view(len(self), -1))
        index, weight = self.index.to(pixels.device), self.weight.to(pixels).unsqueeze(2)
        if len(index) == 1:
            return pixels[index[0]]
        if len(index) == 2:
            return torch.lerp(pixels[index[0]], pixels[index[1]], weight[1])
        return sum(pixels[one] * share for one, share in zip(index, weight, strict=True))

    def _product(self, pixels: Tensor, out: Tensor) -> Tensor:
        matrix = torch.zeros(len(pixels), len(self)).scatter_add_(0, self.index, self.weight)
        matrix = matrix.to(pixels).t().contiguous()
        # A part for each thread, which has the same rows in the functions that follow. Split in
        # another way, labels took up to three times as long where cores exchange data slowly.
        threads = torch.get_num_threads()
        parts = threads if len(self) % threads == 0 else 1
        # With out=, since autocast would do a product in bfloat16.
        torch.bmm(
            matrix.view(parts, -1, len(pixels)),
            pixels.expand(parts, -1, -1),
            out=out.view(parts, -1, pixels.shape[1]),
        )
        return out


class ResampledScores(ScoreMap):
    """Scores made of those of ``source``: across by a function of (n, w), and down by taps.

    Several such maps on each other are one, so that no map between is ever made.
    """

    def __init__(
        self, source: ScoreMap, size: Size, down: Taps, across: Callable[[Tensor], Tensor]
    ) -> None:
        super().__init__(source.num_channels, size, source.device)
        if isinstance(source, ResampledScores):
            down, inner = source.down.then(down), source.across
            self.across = lambda rows: across(inner(rows))
            source = source.source
        else:
            self.across = across
        self.source = source.by_rows() if isinstance(source, DenseScores) else source
        self.down = down

    def rows(self, top: int, bottom: int) -> Tensor:
        down, source = self._below(top, bottom)
        if source.is_cuda or source.requires_grad:
            return self._shaped(down.applied(source))
        return self._shaped(down.applied(source, source.new_empty(len(down) * source.shape[1])))

    @contextmanager
    def band(self, top: int, bottom: int) -> Iterator[Tensor]:
        down, source = self._below(top, bottom)
        if source.is_cuda or source.requires_grad:
            yield self._shaped(down.applied(source))
            return
        with scratch(len(down) * source.shape[1], source) as pool:
            yield self._shaped(down.applied(source, pool))

    def _below(self, top: int, bottom: int) -> tuple[Taps, Tensor]:
        """What to make these rows of, (h, C * W), and how."""
        down, seen = self.down.part(top, bottom)
        source = self.source.rows(seen.start, seen.stop).transpose(0, 1)  # (h, C, w)
        # Sideways first: before the other way there are fewer rows to do this for.
        return down, self.across(source.flatten(0, 1)).reshape(len(source), -1)

    def _shaped(self, rows: Tensor) -> Tensor:
        return rows.view(len(rows), self.num_channels, -1).transpose(0, 1)


class ResizedScores(ResampledScores):
    """Bilinear interpolation of ``source`` to ``size`` (h, w).

    Source: ``torch.nn.functional.interpolate``, whose numbers these are up to rounding.
    """

    def __init__(self, source: ScoreMap, size: Size, align_corners: bool) -> None:
        def across(rows: Tensor) -> Tensor:
            if rows.shape[1] == size[1]:
                return rows
            return F.interpolate(
                rows.unsqueeze(0), size[1], mode="linear", align_corners=align_corners
            )[0]

        down = Taps.resizing(source.size[0], size[0], align_corners)
        super().__init__(source, size, down, across)


class CroppedScores(ResampledScores):
    """``source`` without ``padding``: (left, right, top, bottom) pixels."""

    def __init__(self, source: ScoreMap, padding: Sequence[int]) -> None:
        left, right, top, bottom = padding
        height, width = source.size[0] - bottom, source.size[1] - right
        down = Taps.of(torch.arange(top, height))
        super().__init__(
            source, (height - top, width - left), down, lambda rows: rows[:, left:width]
        )


class FlippedScores(ResampledScores):
    """``source`` mirrored along ``dims`` of (C, H, W)."""

    def __init__(self, source: ScoreMap, dims: Sequence[int]) -> None:
        down = torch.arange(source.size[0])
        down = Taps.of(down.flip(0) if 1 in dims else down)
        super().__init__(
            source, source.size, down, lambda rows: rows.flip(1) if 2 in dims else rows
        )


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
            with view.band(top, bottom) as scores, scratch(scores.numel(), scores) as pool:
                if self.num_channels > 1:
                    # Row by row, as scores are laid out.
                    scores = scores.transpose(0, 1).contiguous()
                    torch.softmax(scores, dim=1, out=pool.view(scores.shape))
                    scores = pool.view(scores.shape).transpose(0, 1)
                total = scores.clone() if total is None else total.add_(scores)
        return total.div_(len(self.views))
