"""Cross entropy over label maps, by softmax or by sigmoid."""

from collections.abc import Sequence
from math import nan

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_gc.errors import UserError
from mmseg_gc.models.losses.reduction import (
    EPS,
    check_reduction,
    class_weight_tensor,
    fitting_weight,
    weight_reduce_loss,
)
from mmseg_gc.registry import MODELS


def cross_entropy(
    pred: Tensor,
    label: Tensor,
    weight: Tensor | None = None,
    class_weight: Tensor | None = None,
    reduction: str = "mean",
    avg_factor: float | Tensor | None = None,
    ignore_index: int | None = -100,
    avg_non_ignore: bool = False,
) -> Tensor:
    """Softmax cross entropy of logits (N, C, ...) against label ids (N, ...).

    ``weight`` (N, ...) scales each pixel, ``class_weight`` (C,) each class. The mean divides by
    ``avg_factor``, or else by the number of pixels: all of them, or with ``avg_non_ignore`` those
    not ignored. With ``class_weight`` it divides by the sum of the weights of those not ignored.

    Source: ``mmseg.models.losses.cross_entropy``; that one fails on ``class_weight`` together with
    ``avg_non_ignore``, which here changes nothing.
    """
    ignored = -100 if ignore_index is None else ignore_index
    loss = F.cross_entropy(pred, label, weight=class_weight, reduction="none", ignore_index=ignored)
    if avg_factor is None and reduction == "mean":
        avg_factor = mean_divisor(label, label != ignored, class_weight, avg_non_ignore)
    return weight_reduce_loss(loss, weight, reduction, avg_factor)


def mean_divisor(
    label: Tensor, valid: Tensor, class_weight: Tensor | None, avg_non_ignore: bool
) -> float | Tensor:
    """What the mean of `cross_entropy` divides by."""
    if class_weight is not None:
        return class_weight[label.where(valid, 0)].where(valid, 0).sum()
    return valid.sum() if avg_non_ignore else label.numel()


def binary_cross_entropy(
    pred: Tensor,
    label: Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    avg_factor: float | Tensor | None = None,
    class_weight: Tensor | None = None,
    ignore_index: int | None = -100,
    avg_non_ignore: bool = False,
) -> Tensor:
    """Sigmoid cross entropy of logits (N, C, ...) against label ids (N, ...) as one-hot.

    Labels of 0 and 1 in the shape of the logits stand for themselves. With C = 1 the label is 0 or
    1 and does so, too. ``class_weight`` (C,) scales the positive part of each class. The mean
    divides by ``avg_factor``, or else by the number of logits: all of them, or with
    ``avg_non_ignore`` those of pixels not ignored.

    If C = 1 and a label is neither 0, 1 nor ignored, the loss is NaN: to say so here would make a
    GPU wait. `BaseDecodeHead.check_labels` does it before labels get there.

    Source: ``mmseg.models.losses.binary_cross_entropy``; that one cannot take ``class_weight`` for
    several classes on images.
    """
    valid = label >= 0
    if ignore_index is not None:
        valid = valid & (label != ignore_index)
    label = label.where(valid, 0)
    if pred.shape == label.shape:  # which classes occur at all, several at once
        target, mask = label.to(pred.dtype), valid
    elif pred.size(1) == 1:
        pred, target, mask = pred.squeeze(1), label.to(pred.dtype).where(label <= 1, nan), valid
    else:
        target = torch.zeros_like(pred).scatter_(1, label.unsqueeze(1), 1)  # (N, C, ...)
        mask = valid.unsqueeze(1).expand_as(pred)
        weight = None if weight is None else weight.unsqueeze(1)
        if class_weight is not None:
            class_weight = class_weight.view(-1, *[1] * (pred.dim() - 2))  # (C, 1, ...)
    if avg_factor is None and reduction == "mean" and avg_non_ignore:
        avg_factor = mask.sum()
    loss = F.binary_cross_entropy_with_logits(
        pred, target, pos_weight=class_weight, reduction="none"
    )
    return weight_reduce_loss(
        loss, mask if weight is None else mask * weight, reduction, avg_factor
    )


@MODELS.register_module()
class CrossEntropyLoss(nn.Module):
    """Cross entropy for segmentation, by softmax or with ``use_sigmoid`` by sigmoid.

    ``class_weight`` is one number a class, or a .npy or .json file of them. A ``loss_name`` that
    does not begin with "loss_" is logged but not learnt from. ``avg_non_ignore=False`` averages
    over ignored pixels too, as the published models did.

    Raises: UserError for an option it cannot follow.
    Source: ``mmseg.models.losses.CrossEntropyLoss``.
    """

    class_weight: Tensor | None

    def __init__(
        self,
        use_sigmoid: bool = False,
        use_mask: bool = False,
        reduction: str = "mean",
        class_weight: Sequence[float] | str | None = None,
        loss_weight: float = 1.0,
        loss_name: str = "loss_ce",
        avg_non_ignore: bool = False,
    ) -> None:
        super().__init__()
        if use_mask:
            raise UserError("CrossEntropyLoss's use_mask is for instance masks; use mmdet's loss.")
        check_reduction(reduction, type(self).__name__)
        self.use_sigmoid = use_sigmoid
        self.reduction = reduction
        self.loss_weight = loss_weight
        self.loss_name = loss_name
        self.avg_non_ignore = avg_non_ignore
        # Not persistent: weight files of mmseg have no such key.
        self.register_buffer("class_weight", class_weight_tensor(class_weight), persistent=False)

    @property
    def by_softmax(self) -> bool:
        """Whether one channel says nothing."""
        return not self.use_sigmoid

    def extra_repr(self) -> str:
        return f"use_sigmoid={self.use_sigmoid}, avg_non_ignore={self.avg_non_ignore}"

    def forward(
        self,
        cls_score: Tensor,
        label: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
        ignore_index: int | None = -100,
    ) -> Tensor:
        reduction = reduction_override or self.reduction
        check_reduction(reduction, type(self).__name__)
        class_weight = fitting_weight(self.class_weight, cls_score)
        criterion = binary_cross_entropy if self.use_sigmoid else cross_entropy
        return self.loss_weight * criterion(
            cls_score,
            label,
            weight,
            class_weight=class_weight,
            reduction=reduction,
            avg_factor=avg_factor,
            ignore_index=ignore_index,
            avg_non_ignore=self.avg_non_ignore,
        )

    def divisor(self, cls_score: Tensor, label: Tensor, ignore_index: int | None) -> float | Tensor:
        """What the softmax loss's mean over ``label`` (N, H, W) divides by.

        Of ``cls_score`` (N, C, ...) type, device and channels count.
        """
        valid = label != (-100 if ignore_index is None else ignore_index)
        weight = fitting_weight(self.class_weight, cls_score)
        return mean_divisor(label, valid, weight, self.avg_non_ignore) + EPS
