"""Confusion counts of two label pictures, and the figures that follow from them."""

import torch

FIGURES = {
    "mIoU": ("IoU", "Acc"),
    "mDice": ("Dice", "Acc"),
    "mFscore": ("Fscore", "Precision", "Recall"),
}


def confusion_counts(
    pred: torch.Tensor, label: torch.Tensor, num_classes: int, ignore_index: int
) -> torch.Tensor:
    """Count pixels by class: (C, C), int64, row = true id, column = predicted id.

    ``pred`` and ``label`` are (H, W), integer, on one device; pixels whose label is
    ``ignore_index`` don't count.

    Raises:
        ValueError: An id is not below ``num_classes``.
    """
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
    keep = label != ignore_index
    label, pred = label[keep].long(), pred[keep].long()
    _reject("label", label, num_classes)
    _reject("predicted", pred, num_classes)
    key = label * num_classes + pred
    return torch.bincount(key, minlength=num_classes**2).view(num_classes, num_classes)


def overall_accuracy(counts: torch.Tensor) -> torch.Tensor:
    """The share of counted pixels that are right: 0-d, float64, a ratio; NaN without pixels."""
    counts = counts.double()
    return counts.trace() / counts.sum()


def class_figures(counts: torch.Tensor, name: str, beta: float = 1) -> dict[str, torch.Tensor]:
    """The figures of ``FIGURES[name]`` for each class: (C,), float64, ratios.

    A ratio without pixels is NaN: IoU of a class absent from prediction and truth, Acc of one
    absent from the truth. ``beta`` weighs recall in Fscore.
    """
    counts = counts.double()
    hit, true, found = counts.diagonal(), counts.sum(1), counts.sum(0)
    if name == "mIoU":
        return {"IoU": hit / (true + found - hit), "Acc": hit / true}
    if name == "mDice":
        return {"Dice": 2 * hit / (true + found), "Acc": hit / true}
    precision, recall = hit / found, hit / true
    fscore = (1 + beta**2) * precision * recall / (beta**2 * precision + recall)
    return {"Fscore": fscore, "Precision": precision, "Recall": recall}


def _narrow(ids: torch.Tensor) -> torch.Tensor:
    """``ids`` as uint8 where no value changes by that."""
    if ids.dtype == torch.uint8:
        return ids
    narrow = ids.to(torch.uint8)
    return narrow if torch.equal(narrow.to(ids.dtype), ids) else ids


def _reject(kind: str, ids: torch.Tensor, num_classes: int) -> None:
    wrong = ids[(ids < 0) | (ids >= num_classes)].unique().tolist()
    if wrong:
        raise ValueError(f"{kind} ids {wrong[:5]} are outside the {num_classes} classes")
