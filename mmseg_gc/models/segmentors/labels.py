"""From scores to labels."""

import torch
from torch import Tensor

from mmseg_gc.models.segmentors.score_maps import ScoreMap

BAND = 4 << 20  # bytes of a band's scores: most of its work stays in a processor's last cache
WORK = 4  # times the size of a band's scores that making and labelling it takes


def labels_of(scores: Tensor, threshold: float | None, in_place: bool = False) -> Tensor:
    """Labels (1, H, W) of scores (C, H, W); one channel is a probability held to ``threshold``.

    uint8 for up to 256 classes, else int64; among equal scores the first class wins. ``in_place``
    allows to write over the scores.
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
    below = torch.sub(scores, scores.amax(dim=0), out=scores if in_place else None)
    rank = torch.arange(num_classes, 0, -1, dtype=scores.dtype).view(-1, 1, 1)
    first = torch.add(rank, below, alpha=1e30, out=below).amax(dim=0, keepdim=True)
    return (num_classes - first).to(torch.uint8)


def label_map(scores: ScoreMap, threshold: float | None, budget: int | None = None) -> Tensor:
    """Labels (1, H, W) of a whole map, made band by band, as `labels_of` makes them.

    ``budget`` bounds the bytes that a band's work takes.
    """
    height, width = scores.size
    step = band_height(scores, budget)
    dtype = torch.uint8 if scores.num_channels <= 256 else torch.int64
    labels = torch.empty(1, height, width, dtype=dtype, device=scores.device)

    for top in range(0, height, step):
        bottom = min(top + step, height)
        with scores.band(top, bottom) as rows:
            labels[:, top:bottom] = labels_of(rows, threshold, in_place=True)
    return labels


def band_height(scores: ScoreMap, budget: int | None = None) -> int:
    """Rows to make at once: as many as a processor's cache holds, or all of them on a GPU."""
    height, width = scores.size
    row = 4 * scores.num_channels * width
    most = height if scores.device.type != "cpu" else BAND // row
    if budget is not None:
        most = min(most, budget // (WORK * row))
    if most > torch.get_num_threads():  # the same number for each
        most -= most % torch.get_num_threads()
    return max(1, min(height, most))
