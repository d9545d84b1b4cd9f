"""Confusion counts of two label images, and the figures that follow from them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

FIGURES = {
    "mIoU": ("IoU", "Acc"),
    "mDice": ("Dice", "Acc"),
    "mFscore": ("Fscore", "Precision", "Recall"),
}
TABLES = 32  # of counts that a GPU adds up at the same time


class ConfusionMatrix:
    """Pixels of many images by class, added up on their device and read once.

    Wrong ids on a CPU are found image by image. On a GPU, where to look is to wait, they are found
    when the counts are read.
    """

    def __init__(self, num_classes: int, ignore_index: int) -> None:
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self._counts: torch.Tensor | None = None
        self._extremes: list[torch.Tensor] = []
        self._names: list[str] = []

    def add(self, pred: torch.Tensor, label: torch.Tensor, name: str) -> None:
        """Count one image, as `confusion_counts` does; ``name`` is for messages.

        Raises:
            ValueError: An id is not below ``num_classes``.
        """
        if pred.device.type == "cpu":
            with _named(name):
                counts = confusion_counts(pred, label, self.num_classes, self.ignore_index)
        else:
            counts, extremes = _on_device(pred, label, self.num_classes, self.ignore_index)
            self._extremes.append(extremes)
            self._names.append(name)
        self._counts = counts if self._counts is None else self._counts.add_(counts)

    def counts(self) -> torch.Tensor:
        """The sum so far: (C, C), int64, on the CPU, row = true id, column = predicted id.

        Raises:
            ValueError: An id of an image on a GPU is not below ``num_classes``.
        """
        if self._counts is None:
            return torch.zeros(self.num_classes, self.num_classes, dtype=torch.int64)
        if self._extremes:
            for name, extremes in zip(self._names, torch.stack(self._extremes).cpu(), strict=True):
                with _named(name):
                    _check_extremes(extremes, self.num_classes)
            self._extremes, self._names = [], []
        return self._counts.cpu()


def confusion_counts(
    pred: torch.Tensor, label: torch.Tensor, num_classes: int, ignore_index: int
) -> torch.Tensor:
    """Count pixels by class: (C, C), int64, row = true id, column = predicted id.

    ``pred`` and ``label`` are (H, W), integer, on one device; pixels whose label is
    ``ignore_index`` don't count.

    Raises:
        ValueError: An id is not below ``num_classes``.
    """
    if pred.device.type != "cpu":
        counts, extremes = _on_device(pred, label, num_classes, ignore_index)
        _check_extremes(extremes.cpu(), num_classes)
        return counts
    pred, label = _narrow(pred), _narrow(label)
    if pred.dtype == label.dtype == torch.uint8:
        # A table of all 256 x 256 pairs needs no mask and shows wrong ids by itself.
        key = label.flatten().int().mul_(256).add_(pred.flatten())
        table = torch.bincount(key, minlength=256 * 256).view(256, 256)
        if 0 <= ignore_index < 256:
            table[ignore_index] = 0
        counts = table[:num_classes, :num_classes]
        if counts.sum() != table.sum():
            _reject("label", table.sum(1).nonzero(), num_classes)
            _reject("predicted", table.sum(0).nonzero(), num_classes)
        return counts.clone()
    label = label.long()  # in 8 bits -100 would be 156
    keep = label != ignore_index
    label, pred = label[keep], pred[keep].long()
    _reject("label", label, num_classes)
    _reject("predicted", pred, num_classes)
    key = label * num_classes + pred
    return torch.bincount(key, minlength=num_classes**2).view(num_classes, num_classes)


def _on_device(
    pred: torch.Tensor, label: torch.Tensor, num_classes: int, ignore_index: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """`confusion_counts` that never makes the host wait, as ``torch.bincount`` and masks do.

    Also returns the smallest and largest label id and the smallest and largest predicted one, (4,),
    int64, of pixels that count; where one of them is no class, the counts mean nothing.
    """
    label, pred = label.long(), pred.long()  # in 8 bits -100 would be 156
    ignored = label == ignore_index
    label, pred = label.masked_fill(ignored, 0), pred.masked_fill(ignored, 0)
    extremes = torch.stack([*label.aminmax(), *pred.aminmax()])
    bins = num_classes**2 + 1  # the last one is for ignored pixels
    key = label.mul_(num_classes).add_(pred).masked_fill_(ignored, bins - 1).clamp_(0, bins - 1)
    # Most pixels fall into few bins, where atomic additions queue: each row counts in one of
    # several tables.
    table_of_row = torch.arange(len(key), device=key.device).remainder_(TABLES).mul_(bins)
    key = key.add_(table_of_row.unsqueeze(1)).flatten()
    tables = torch.zeros(TABLES * bins, dtype=torch.int32, device=key.device)
    one = torch.ones(1, dtype=torch.int32, device=key.device)
    tables = tables.scatter_add_(0, key, one.expand_as(key)).view(TABLES, bins)
    counts = tables.sum(dim=0, dtype=torch.int64)[:-1]
    return counts.view(num_classes, num_classes), extremes


def overall_accuracy(counts: torch.Tensor) -> torch.Tensor:
    """The share of counted pixels that are right: 0-d, float64, a ratio; NaN without pixels."""
    counts = counts.double()
    return counts.trace() / counts.sum()


def class_figures(counts: torch.Tensor, name: str, beta: float = 1) -> dict[str, torch.Tensor]:
    """The figures of ``FIGURES[name]`` for each class: (C,), float64, ratios.

    A class absent from prediction and truth is NaN; Acc and Recall are NaN where it is absent from
    the truth alone. A class that occurs and is never right counts 0 in all other figures: Fscore,
    in which ``beta`` weighs recall, is Dice for ``beta=1``, and nothing found is no precision.

    Source: ``mmseg.evaluation.IoUMetric``, whose Fscore and Precision of such a class are NaN and
    leave the mean: a model gains by never finding it.
    """
    counts = counts.double()
    hit, true, found = counts.diagonal(), counts.sum(1), counts.sum(0)
    if name == "mIoU":
        return {"IoU": hit / (true + found - hit), "Acc": hit / true}
    if name == "mDice":
        return {"Dice": 2 * hit / (true + found), "Acc": hit / true}
    fscore = (1 + beta**2) * hit / (beta**2 * true + found)
    precision = (hit / found).where((found > 0) | (true == 0), 0.0)
    return {"Fscore": fscore, "Precision": precision, "Recall": hit / true}


def _narrow(ids: torch.Tensor) -> torch.Tensor:
    """``ids`` as uint8 where no value changes by that."""
    if ids.dtype == torch.uint8:
        return ids
    narrow = ids.to(torch.uint8)
    return narrow if torch.equal(narrow.to(ids.dtype), ids) else ids


def _check_extremes(extremes: torch.Tensor, num_classes: int) -> None:
    """Complain of what `_on_device` found; ``extremes`` are on the CPU."""
    _reject("label", extremes[:2], num_classes)
    _reject("predicted", extremes[2:], num_classes)


@contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _reject(kind: str, ids: torch.Tensor, num_classes: int) -> None:
    wrong = ids[(ids < 0) | (ids >= num_classes)].unique().tolist()
    if wrong:
        raise ValueError(f"{kind} ids {wrong[:5]} are outside the {num_classes} classes")
