"""From a network's logits to the labels of the image that it was shown, a chunk of rows at a time.

A network's logits are small; what is large are the same logits at the image's size, 160 MB for
Cityscapes. Each map below makes any of its rows from the rows of the map under it, so that labels
need no full-size logits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from mmengine.structures import PixelData
from torch import Tensor

from mmseg_gc.inference.resampling import Crop, Flip, Resize, Steps, part_of, seen_by
from mmseg_gc.inference.scratch import scratch
from mmseg_gc.structures import SegDataSample

Size = tuple[int, int]

# Bytes of a chunk of rows: most of its work stays in a processor's last cache; or what keeps a GPU
# busy while the rest of its memory stays free.
CHUNK_BYTES = {"cpu": 4 << 20}
GPU_CHUNK_BYTES = 128 << 20
WORK = 4  # times the size of a chunk's logits that making and labelling it takes
DEFAULT_THRESHOLD = 0.3  # of a single channel, as mmsegmentation has it

# Is shown the logits (C, h, W) of a chunk of rows, and the first row's number, while labels are
# made of them; all chunks of an image once, from the top down. It must not change or keep them.
Watch = Callable[[Tensor, int], None]


def at_original_size(logits: ResampledLogits, meta: dict, align_corners: bool) -> LogitMap:
    """``logits`` of the network's input, brought to the image that ``meta`` tells of.

    Padding is cut off, a flip undone, and the rest resized to ``ori_shape``. A single channel
    becomes the probability of class 1.
    """
    # The data preprocessor pads when testing, transforms pad before it.
    padding = meta.get("img_padding_size", meta.get("padding_size", (0, 0, 0, 0)))
    if any(padding):
        logits = logits.cropped(padding)
    if meta.get("flip"):
        logits = logits.flipped(meta["flip_direction"])
    size: Size = tuple(meta.get("ori_shape", logits.size)[:2])
    logits = logits.resized(size, align_corners)
    return SigmoidProbabilities(logits) if logits.num_channels == 1 else logits


def write_result(
    sample: SegDataSample,
    logits: LogitMap,
    *,
    threshold: float | None,
    with_logits: bool = False,
    budget: int | None = None,
    watches: Sequence[Watch] = (),
) -> None:
    """Set ``pred_sem_seg`` (1, H, W), and ``seg_logits`` (C, H, W) if asked for, of ``sample``.

    ``threshold``, ``budget`` and ``watches`` are as in `label_image`.
    """
    if with_logits:
        whole = _watched(logits, 0, logits.size[0], watches)
        sample.seg_logits = PixelData(data=whole)
        labels = labels_of(whole, threshold)
    else:
        labels = label_image(logits, threshold, budget, watches)
    sample.pred_sem_seg = PixelData(data=labels)


def label_image(
    logits: LogitMap,
    threshold: float | None,
    budget: int | None = None,
    watches: Sequence[Watch] = (),
) -> Tensor:
    """Labels (1, H, W) of a whole map, made chunk by chunk, as `labels_of` makes them.

    ``budget`` bounds the bytes that a chunk's work takes. ``watches`` are shown each chunk: logits
    also of a single channel, but probabilities where the map is a mean of them.
    """
    height, width = logits.size
    step = chunk_height(logits, budget)
    dtype = torch.uint8 if logits.num_channels <= 256 else torch.int64
    labels = torch.empty(1, height, width, dtype=dtype, device=logits.device)
    # One chunk's for all of them: fresh memory costs more than the arithmetic done in it, since the
    # system clears every page.
    numbers = step * logits.num_channels * width
    memory = torch.empty(numbers) if logits.device.type == "cpu" else None
    for top in range(0, height, step):
        bottom = min(top + step, height)
        rows = _watched(logits, top, bottom, watches, memory)
        labels[:, top:bottom] = labels_of(rows, threshold, in_place=True)
    return labels


def _watched(
    logits: LogitMap, top: int, bottom: int, watches: Sequence[Watch], memory: Tensor | None = None
) -> Tensor:
    """`LogitMap.rows` that ``watches`` have been shown."""
    source = logits.source if watches and isinstance(logits, SigmoidProbabilities) else logits
    rows = source.rows(top, bottom, memory)
    for watch in watches:
        watch(rows, top)
    return rows if source is logits else rows.sigmoid()


def chunk_height(logits: LogitMap, budget: int | None = None) -> int:
    """Rows to make at once: `CHUNK_BYTES` of them, or what ``budget`` bytes leave room for."""
    height, width = logits.size
    row = 4 * logits.num_channels * width
    max_rows = CHUNK_BYTES.get(logits.device.type, GPU_CHUNK_BYTES) // row
    if budget is not None:
        max_rows = min(max_rows, budget // (WORK * row))
    if max_rows > torch.get_num_threads():  # the same number for each
        max_rows -= max_rows % torch.get_num_threads()
    return max(1, min(height, max_rows))


def labels_of(logits: Tensor, threshold: float | None, in_place: bool = False) -> Tensor:
    """Labels (1, H, W) of logits (C, H, W); one channel is a probability held to ``threshold``.

    uint8 for up to 256 classes, else int64. Among equal logits the first class wins, and NaN wins
    over all, as in ``torch.argmax``. ``in_place`` allows to write over the logits.
    """
    logits = logits.detach()
    num_classes = logits.size(0)
    if num_classes == 1:
        return (logits > (DEFAULT_THRESHOLD if threshold is None else threshold)).to(torch.uint8)
    dtype = torch.uint8 if num_classes <= 256 else torch.int64
    if logits.device.type != "cpu" or num_classes > 256:
        return logits.argmax(dim=0, keepdim=True).to(dtype)
    best = logits.amax(dim=0)
    if not best.isfinite().all():  # the sums below would be NaN
        return logits.argmax(dim=0, keepdim=True).to(dtype)
    # Sums, which torch vectorises along this side, in place of its argmax, which it does not: what
    # is less than the best falls below every rank.
    below = torch.sub(logits, best, out=logits if in_place else None)
    rank = torch.arange(num_classes, 0, -1, dtype=logits.dtype).view(-1, 1, 1)
    first = torch.add(rank, below, alpha=1e30, out=below).amax(dim=0, keepdim=True)
    return (num_classes - first).to(dtype)


class LogitMap:
    """Base of maps of ``num_channels`` logits a pixel, ``size`` (h, w), on ``device``."""

    holds_probabilities = False  # else logits

    def __init__(self, num_channels: int, size: Size, device: torch.device) -> None:
        self.num_channels = num_channels
        self.size = size
        self.device = device

    def rows(self, top: int, bottom: int, memory: Tensor | None = None) -> Tensor:
        """Logits (C, bottom - top, W), floating, of the rows from ``top`` up to ``bottom``.

        Without ``memory`` they may be the source's own. With it, flat and large enough for them,
        they may be written to: most maps make them in it.
        """
        raise NotImplementedError

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

    def resized(self, size: Size, align_corners: bool) -> ResampledLogits:
        """Interpolated bilinearly to ``size`` (h, w), as ``F.interpolate`` does."""
        if size == self.size:
            return self
        down, across = (
            Resize(old, new, align_corners) for old, new in zip(self.size, size, strict=True)
        )
        return self._then(size, down, across)

    def cropped(self, padding: Sequence[int]) -> ResampledLogits:
        """Without ``padding``: (left, right, top, bottom) pixels."""
        left, right, top, bottom = padding
        height, width = self.size[0] - bottom, self.size[1] - right
        return self._then((height - top, width - left), Crop(top, height), Crop(left, width))

    def flipped(self, direction: str) -> ResampledLogits:
        """Mirrored: "horizontal", "vertical" or "diagonal", which is both."""
        down = Flip(self.size[0]) if direction in ("vertical", "diagonal") else None
        across = Flip(self.size[1]) if direction in ("horizontal", "diagonal") else None
        return self._then(self.size, down, across)

    def _then(
        self, size: Size, down: Resize | Crop | Flip | None, across: Resize | Crop | Flip | None
    ) -> ResampledLogits:
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

    def rows(self, top: int, bottom: int, memory: Tensor | None = None) -> Tensor:
        wanted = range(top, bottom)
        rows = self._seen_rows(wanted)
        if self.down:
            part, matrix = part_of(self.down, rows.device, top, bottom)
            rows = part.applied(rows, self._room(rows, len(wanted), memory), matrix)
        elif memory is not None:
            rows = rows.clone()
        return rows.view(len(rows), self.num_channels, -1).transpose(0, 1)

    @staticmethod
    def _room(rows: Tensor, height: int, memory: Tensor | None) -> Tensor | None:
        """Where a CPU makes ``height`` of such rows: (height, C * W)."""
        if rows.device.type != "cpu" or rows.requires_grad:
            return None
        if memory is None or memory.dtype != rows.dtype:
            return rows.new_empty(height, rows.shape[1])
        return memory[: height * rows.shape[1]].view(height, -1)

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


class SigmoidProbabilities(LogitMap):
    """Probabilities of ``source``, each channel by itself."""

    def __init__(self, source: LogitMap) -> None:
        super().__init__(source.num_channels, source.size, source.device)
        self.source = source

    def rows(self, top: int, bottom: int, memory: Tensor | None = None) -> Tensor:
        return self.source.rows(top, bottom, memory).sigmoid()


class MeanProbabilities(LogitMap):
    """Mean of the class probabilities of ``views``; a single channel is one already."""

    holds_probabilities = True

    def __init__(self, views: Sequence[LogitMap]) -> None:
        super().__init__(views[0].num_channels, views[0].size, views[0].device)
        self.views = views

    def rows(self, top: int, bottom: int, memory: Tensor | None = None) -> Tensor:
        total: Tensor | None = None
        for view in self.views:
            logits = view.rows(top, bottom, memory)
            with scratch(logits.numel(), logits) as pool:
                if self.num_channels > 1:
                    # Row by row, as logits are laid out.
                    logits = logits.transpose(0, 1).contiguous()
                    torch.softmax(logits, dim=1, out=pool.view(logits.shape))
                    logits = pool.view(logits.shape).transpose(0, 1)
                total = logits.clone() if total is None else total.add_(logits)
        assert total is not None
        return total.div_(len(self.views))
