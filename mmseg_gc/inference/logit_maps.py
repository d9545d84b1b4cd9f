"""Logits of one image that are computed a chunk of rows at a time.

A network's logits are small; what is large are the same logits at the image's size, 160 MB for
Cityscapes. Each map below makes any of its rows from the rows of the map under it, so that labels
need no full-size logits.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from mmseg_gc.inference.resampling import Crop, Flip, Resize, Steps, seen_by, weights_of
from mmseg_gc.inference.scratch import scratch

Size = tuple[int, int]


class LogitMap:
    """Base of maps of ``num_channels`` logits a pixel, ``size`` (h, w), on ``device``."""

    holds_probabilities = False  # else logits

    def __init__(self, num_channels: int, size: Size, device: torch.device) -> None:
        self.num_channels = num_channels
        self.size = size
        self.device = device

    def rows(self, top: int, bottom: int) -> Tensor:
        """Logits (C, bottom - top, W), floating, of the rows from ``top`` up to ``bottom``."""
        raise NotImplementedError

    @contextmanager
    def chunk(self, top: int, bottom: int) -> Iterator[Tensor]:
        """`rows` in memory that may be written to, and that others use afterwards."""
        yield self.rows(top, bottom)

    def all_rows(self) -> Tensor:
        """Logits (C, H, W) of the whole map."""
        return self.rows(0, self.size[0])


class ResampledLogits(LogitMap):
    """``source``, logits (C, h, w) or a map of them, resized, cropped and flipped at will.

    All that is asked for is one resampling: across first, and then, where there are more rows,
    down, by weights of the few rows that each is made of.
    """

    def __init__(
        self,
        source: Tensor | LogitMap,
        size: Size | None = None,
        down: Steps = (),
        across: Steps = (),
    ) -> None:
        if isinstance(source, Tensor):
            num_channels, own_size = source.shape[0], (source.shape[1], source.shape[2])
        else:
            num_channels, own_size = source.num_channels, source.size
        super().__init__(num_channels, size or own_size, source.device)
        self.source = source
        self.down = down
        self.across = across

    def resized(self, size: Size, align_corners: bool) -> "ResampledLogits":
        """Interpolated bilinearly to ``size`` (h, w), as ``F.interpolate`` does."""
        if size == self.size:
            return self
        down, across = (
            Resize(old, new, align_corners) for old, new in zip(self.size, size, strict=True)
        )
        return self._then(size, down, across)

    def cropped(self, padding: Sequence[int]) -> "ResampledLogits":
        """Without ``padding``: (left, right, top, bottom) pixels."""
        left, right, top, bottom = padding
        height, width = self.size[0] - bottom, self.size[1] - right
        return self._then((height - top, width - left), Crop(top, height), Crop(left, width))

    def flipped(self, direction: str) -> "ResampledLogits":
        """Mirrored: "horizontal", "vertical" or "diagonal", which is both."""
        down = Flip(self.size[0]) if direction in ("vertical", "diagonal") else None
        across = Flip(self.size[1]) if direction in ("horizontal", "diagonal") else None
        return self._then(self.size, down, across)

    def _then(
        self, size: Size, down: Resize | Crop | Flip | None, across: Resize | Crop | Flip | None
    ) -> "ResampledLogits":
        if isinstance(down, Resize) and down.source == down.target:
            down = None
        if isinstance(across, Resize) and across.source == across.target:
            across = None
        source = self.source
        if isinstance(source, Tensor):
            # Row by row rather than channel by channel: rows are what is read of it.
            source = source.transpose(0, 1).contiguous().transpose(0, 1)
        return ResampledLogits(
            source,
            size,
            self.down + ((down,) if down else ()),
            self.across + ((across,) if across else ()),
        )

    def rows(self, top: int, bottom: int) -> Tensor:
        rows = self._seen_rows(range(top, bottom))
        if self.down:
            out = rows.new_empty(bottom - top, rows.shape[1]) if self._on_cpu(rows) else None
            rows = self._resampled_down(rows, range(top, bottom), out)
        return self._by_channel(rows)

    @contextmanager
    def chunk(self, top: int, bottom: int) -> Iterator[Tensor]:
        rows = self._seen_rows(range(top, bottom))
        if not self._on_cpu(rows):
            if self.down:
                rows = self._resampled_down(rows, range(top, bottom))
            elif not self.across or not isinstance(self.across[-1], Resize):
                rows = rows.clone()  # they may be the source's own
            yield self._by_channel(rows)
            return
        with scratch((bottom - top) * rows.shape[1], rows) as pool:
            out = pool.view(bottom - top, -1)
            if self.down:
                self._resampled_down(rows, range(top, bottom), out)
            else:
                out.copy_(rows)
            yield self._by_channel(out)

    @staticmethod
    def _on_cpu(rows: Tensor) -> bool:
        return rows.device.type == "cpu" and not rows.requires_grad

    def _seen_rows(self, wanted: range) -> Tensor:
        """The source's rows that ``wanted`` ones are made of, resampled across: (h, C * W)."""
        seen = seen_by(self.down, wanted)
        if isinstance(self.source, Tensor):
            rows = self.source[:, seen.start : seen.stop]
        else:
            rows = self.source.rows(seen.start, seen.stop)
        rows = rows.transpose(0, 1)  # (h, C, w)
        height, flat = len(rows), rows.flatten(0, 1)
        for step in self.across:
            flat = step.across(flat)
        return flat.reshape(height, -1)

    def _resampled_down(self, rows: Tensor, wanted: range, out: Tensor | None = None) -> Tensor:
        weights = weights_of(self.down, rows.device)
        part = weights.part(wanted.start, wanted.stop, seen_by(self.down, wanted))
        return part.applied(rows, out)

    def _by_channel(self, rows: Tensor) -> Tensor:
        """(h, C * W) as (C, h, W)."""
        return rows.view(len(rows), self.num_channels, -1).transpose(0, 1)


class SigmoidProbabilities(LogitMap):
    """Probabilities of ``source``, each channel by itself."""

    def __init__(self, source: LogitMap) -> None:
        super().__init__(source.num_channels, source.size, source.device)
        self.source = source

    def rows(self, top: int, bottom: int) -> Tensor:
        return self.source.rows(top, bottom).sigmoid()


class MeanProbabilities(LogitMap):
    """Mean of the class probabilities of ``views``; a single channel is one already."""

    holds_probabilities = True

    def __init__(self, views: Sequence[LogitMap]) -> None:
        super().__init__(views[0].num_channels, views[0].size, views[0].device)
        self.views = views

    def rows(self, top: int, bottom: int) -> Tensor:
        total: Tensor | None = None
        for view in self.views:
            with view.chunk(top, bottom) as logits, scratch(logits.numel(), logits) as pool:
                if self.num_channels > 1:
                    # Row by row, as logits are laid out.
                    logits = logits.transpose(0, 1).contiguous()
                    torch.softmax(logits, dim=1, out=pool.view(logits.shape))
                    logits = pool.view(logits.shape).transpose(0, 1)
                total = logits.clone() if total is None else total.add_(logits)
        assert total is not None
        return total.div_(len(self.views))
