"""The Tversky loss: overlap that counts wrong and missing pixels apart."""

from collections.abc import Sequence
from math import isclose

import torch
from torch import Tensor, nn

from mmseg_gc.errors import UserError
from mmseg_gc.models.losses.reduction import (
    EPS,
    class_weight_tensor,
    counted_pixels,
    fitting_weight,
)
from mmseg_gc.registry import MODELS


@MODELS.register_module()
class TverskyLoss(nn.Module):
    """One minus the Tversky index of each class and image, averaged over both.

    ``alpha`` weighs what is wrongly taken for a class, ``beta`` what of it is missed; they add up
    to 1. ``smooth`` is added to numerator and denominator. ``ignore_index`` is the label of pixels
    that don't count, beside the head's own, or a class that is left out. If every pixel is ignored
    the gradient is 0.

    Raises: UserError for an option it cannot follow.
    Source: arXiv:1706.05721; ``mmseg.models.losses.TverskyLoss``, which counts the head's ignored
    pixels where ``ignore_index`` is another.
    """

    class_weight: Tensor | None
    by_softmax = True
    weighs_pixels = False

    def __init__(
        self,
        smooth: float = 1,
        class_weight: Sequence[float] | str | None = None,
        loss_weight: float = 1.0,
        ignore_index: int | None = 255,
        alpha: float = 0.3,
        beta: float = 0.7,
        loss_name: str = "loss_tversky",
    ) -> None:
        super().__init__()
        if not isclose(alpha + beta, 1):
            raise UserError(f"TverskyLoss's alpha={alpha} and beta={beta} must add up to 1.")
        self.smooth = smooth
        self.loss_weight = loss_weight
        self.ignore_index = ignore_index
        self.alpha = alpha
        self.beta = beta
        self.loss_name = loss_name
        self.register_buffer("class_weight", class_weight_tensor(class_weight), persistent=False)

    def forward(self, pred: Tensor, target: Tensor, ignore_index: int | None = None) -> Tensor:
        """Of logits (N, C, ...) and label ids (N, ...)."""
        return self.of_image_sums(self.image_sums(pred, target, ignore_index))

    def image_sums(self, pred: Tensor, target: Tensor, ignore_index: int | None = None) -> Tensor:
        """Of each image and class what `of_image_sums` is made of: (N, C, 3)."""
        num_classes = pred.size(1)
        valid = counted_pixels(target, self.ignore_index, ignore_index)
        p = pred.softmax(dim=1) * valid.unsqueeze(1)  # (N, C, ...)
        ids = torch.arange(num_classes, device=target.device).view(-1, *[1] * (pred.dim() - 2))
        truth = (target.clamp(0, num_classes - 1).unsqueeze(1) == ids) & valid.unsqueeze(1)
        parts = (p * truth, p, truth)
        return torch.stack([part.flatten(2).sum(2).to(p.dtype) for part in parts], dim=2)

    def of_image_sums(self, sums: Tensor) -> Tensor:
        """The loss from `image_sums` of all images (N, C, 3)."""
        right, predicted, true = sums.unbind(2)  # each (N, C)
        wrong, missed = predicted - right, true - right
        divisor = right + self.alpha * wrong + self.beta * missed + self.smooth
        losses = 1 - (right + self.smooth) / divisor.clamp(min=EPS)
        num_classes = losses.size(1)
        class_weight = fitting_weight(self.class_weight, losses)
        if class_weight is not None:
            losses = losses * class_weight
        per_class = losses.mean(0)
        chosen = [c for c in range(num_classes) if c != self.ignore_index]
        if len(chosen) < num_classes:
            per_class = per_class.index_select(0, torch.tensor(chosen, device=losses.device))
        return self.loss_weight * per_class.sum() / num_classes
