"""The focal loss: cross entropy by sigmoid that looks away from what is right already."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_gc.errors import UserError
from mmseg_gc.models.losses.reduction import (
    check_reduction,
    class_weight_tensor,
    counted_pixels,
    fitting_weight,
    weight_reduce_loss,
)
from mmseg_gc.registry import MODELS


@MODELS.register_module()
class FocalLoss(nn.Module):
    """Sigmoid cross entropy of each class, times ``(1 - p) ** gamma`` for the probability p of
    what is true.

    ``alpha`` weighs what is of a class against what isn't: one number, or one a class, from 0 to 1.
    ``class_weight`` has one number a class. The mean is over all logits, those of ignored pixels
    too, which are 0; if every pixel is ignored, so are loss and gradient. One channel is the logit
    of class 1.

    Raises: UserError for an option it cannot follow.
    Source: arXiv:1708.02002; ``mmseg.models.losses.FocalLoss``, which on a CPU takes no label ids.
    """

    class_weight: Tensor | None
    alpha: Tensor

    def __init__(
        self,
        use_sigmoid: bool = True,
        gamma: float = 2.0,
        alpha: float | Sequence[float] = 0.5,
        reduction: str = "mean",
        class_weight: Sequence[float] | str | None = None,
        loss_weight: float = 1.0,
        loss_name: str = "loss_focal",
    ) -> None:
        super().__init__()
        if not use_sigmoid:
            raise UserError("FocalLoss has no softmax form: leave use_sigmoid=False out.")
        check_reduction(reduction, type(self).__name__)
        self.use_sigmoid = use_sigmoid
        self.gamma = gamma
        self.reduction = reduction
        self.loss_weight = loss_weight
        self.loss_name = loss_name
        self.register_buffer("alpha", torch.as_tensor(alpha, dtype=torch.float32), persistent=False)
        self.register_buffer("class_weight", class_weight_tensor(class_weight), persistent=False)

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
        ignore_index: int | None = 255,
    ) -> Tensor:
        """Of logits (N, C, ...) and label ids (N, ...), or probabilities as large as the logits.

        ``weight`` has a number for each pixel or each logit. Without a reduction the losses are
        (N, C, ...).
        """
        reduction = reduction_override or self.reduction
        check_reduction(reduction, type(self).__name__)
        losses = self._losses(pred, target, ignore_index)
        if weight is not None and weight.shape != losses.shape:
            weight = weight.view(len(pred), 1, *pred.shape[2:])
        return self.loss_weight * weight_reduce_loss(losses, weight, reduction, avg_factor)

    def image_sums(self, pred: Tensor, target: Tensor, ignore_index: int | None = 255) -> Tensor:
        """Of each image what `of_image_sums` is made of: (N, 1), a share of the mean or sum."""
        losses = self._losses(pred, target, ignore_index).flatten(1)
        reduced = losses.mean(1) if self.reduction == "mean" else losses.sum(1)
        return reduced.unsqueeze(1)

    def of_image_sums(self, sums: Tensor) -> Tensor:
        """The loss from `image_sums` of all images (N, 1)."""
        return self.loss_weight * weight_reduce_loss(sums, reduction=self.reduction)

    def _losses(self, pred: Tensor, target: Tensor, ignore_index: int | None) -> Tensor:
        num_classes = pred.size(1)
        per_class = (num_classes, *[1] * (pred.dim() - 2))  # (C, 1, ...)
        if target.shape == pred.shape:
            truth, valid = target.to(pred.dtype), None
        else:
            valid = counted_pixels(target, ignore_index).unsqueeze(1)
            ids = torch.arange(num_classes, device=target.device).view(per_class)
            # One channel alone is class 1.
            truth = (target.unsqueeze(1) == (ids if num_classes > 1 else 1)).to(pred.dtype)
        p = pred.sigmoid()
        wrong = (1 - p) * truth + p * (1 - truth)
        alpha = self.alpha.to(pred)
        if alpha.dim():
            if alpha.numel() != num_classes:
                raise UserError(
                    f"FocalLoss.alpha has {alpha.numel()} numbers for {num_classes} channels; give "
                    "one a class."
                )
            alpha = alpha.view(per_class)
        losses = F.binary_cross_entropy_with_logits(pred, truth, reduction="none")
        losses = losses * (alpha * truth + (1 - alpha) * (1 - truth)) * wrong.pow(self.gamma)
        class_weight = fitting_weight(self.class_weight, pred)
        if class_weight is not None:
            losses = losses * class_weight.view(per_class)
        return losses if valid is None else losses * valid
