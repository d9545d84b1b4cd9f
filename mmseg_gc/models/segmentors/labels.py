"""From scores to labels."""

import torch
from torch import Tensor

from mmseg_gc.models.segmentors.score_maps import ScoreMap
from mmseg_gc.models.segmentors.two_at_once import two_at_once

CACHE = 16 << 20  # bytes of a band's work: most of it stays in a processor's last cache
WORK = 4  # times the size of a band's scores that making and labelling it takes


def labels_of(scores: Tensor, threshold: float | None) -> Tensor:
    """Labels (1, H, W) of scores (C, H, W); one channel is a probability held to ``threshold``.

    uint8 for up to 256 classes, else int64; among equal scores the first class wins.
    """
    scores = scores.detach()
    num_classes = scores.size(0)
    if num_classes == 1:
        return (scores > threshold).to(torch.uint8)
    if scores.is_cuda or num_classes > 256:
        labels = scores.max(dim=0, keepdim=True).indices
        return labels.to(torch.uint8) if num_classes <= 256 else labels
    # Sums, which torch vectorises along this side, in place of its argmax, which it does not: what
    # is less than the best falls below every rank.
    below = scores - scores.amax(dim=0)
    rank = torch.arange(num_classes, 0, -1, dtype=scores.dtype).view(-1, 1, 1)
    first = torch.add(rank, below, alpha=1e30, out=below).amax(dim=0, keepdim=True)
    return first.neg_().add_(num_classes).to(torch.uint8)


def label_map(
    scores: ScoreMap, threshold: float | None, budget: int | None = None, in_parallel: bool = False
) -> Tensor:
    """Labels (1, H, W) of a whole map, made band by band, as `labels_of` makes them.

    ``budget`` bounds the bytes that a band's work takes. ``in_parallel`` makes two bands at once,
    which is faster for a map of many small steps a band, such as the mean of several views.
    """
    height, width = scores.size
    step = band_height(scores, budget)
    dtype = torch.uint8 if scores.num_channels <= 256 else torch.int64
    labels = torch.empty(1, height, width, dtype=dtype, device=scores.device)

    def label(top: int) -> None:
        bottom = min(top + step, height)
        labels[:, top:bottom] = labels_of(scores.rows(top, bottom), threshold)

    if in_parallel:
        step = -(-step // 2)
        two_at_once(label, range(0, height, step))
    else:
        for top in range(0, height, step):
            label(top)
    return labels


def band_height(scores: ScoreMap, budget: int | None = None) -> int:
    """Rows to make at once: as many as a processor's cache holds, or all of them on a GPU."""
    height, width = scores.size
    row = 4 * scores.num_channels * width
    limit = CACHE if scores.device.type == "cpu" else WORK * row * height
    if budget is not None:
        limit = min(limit, budget)
    return max(1, min(height, limit // (WORK * row)))
