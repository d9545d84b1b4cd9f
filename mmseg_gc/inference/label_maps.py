"""From a network's logits to the labels of the image that it was shown."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch
from mmengine.structures import PixelData
from torch import Tensor

from mmseg_gc.inference.logit_maps import (
    LogitMap,
    ResampledLogits,
    SigmoidProbabilities,
    Size,
)
from mmseg_gc.structures import SegDataSample

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
        with _watched(logits, 0, logits.size[0], watches, kept=True) as whole:
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
    for top in range(0, height, step):
        bottom = min(top + step, height)
        with _watched(logits, top, bottom, watches) as rows:
            labels[:, top:bottom] = labels_of(rows, threshold, in_place=True)
    return labels


@contextmanager
def _watched(
    logits: LogitMap, top: int, bottom: int, watches: Sequence[Watch], kept: bool = False
) -> Iterator[Tensor]:
    """`LogitMap.chunk`, or with ``kept`` `LogitMap.rows`, that ``watches`` have been shown."""
    single = bool(watches) and isinstance(logits, SigmoidProbabilities)
    shown = logits.source if single else logits
    with nullcontext(shown.rows(top, bottom)) if kept else shown.chunk(top, bottom) as rows:
        for watch in watches:
            watch(rows, top)
        yield rows.sigmoid() if single else rows


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
