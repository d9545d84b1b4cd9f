"""The Lovász losses, which stand for the intersection over union itself."""

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
class LovaszLoss(nn.Module):
    """The Lovász extension of the Jaccard loss: of softmax probabilities, or hinge of one channel.

    ``loss_type="multi_class"`` averages over ``classes``: "present" ones, "all", or a list of ids.
    ``loss_type="binary"`` takes one channel, the logit of class 1. ``per_image`` takes each image
    by itself and reduces by ``reduction``; without it the batch is one, and ``reduction`` has to
    be "none". If every pixel is ignored, loss and gradient are 0.

    Raises: UserError for an option it cannot follow.
    Source: arXiv:1705.08790; ``mmseg.models.losses.LovaszLoss``, which fails if every pixel is
    ignored.
    """

    class_weight: Tensor | None
    weighs_pixels = False

    def __init__(
        self,
        loss_type: str = "multi_class",
        classes: str | Sequence[int] = "present",
        per_image: bool = False,
        reduction: str = "mean",
        class_weight: Sequence[float] | str | None = None,
        loss_weight: float = 1.0,
        loss_name: str = "loss_lovasz",
    ) -> None:
        super().__init__()
        if loss_type not in ("binary", "multi_class"):
            raise UserError(
                f"LovaszLoss has no loss_type={loss_type!r}; choose binary or multi_class."
            )
        if isinstance(classes, str) and classes not in ("all", "present"):
            raise UserError(
                f"LovaszLoss has no classes={classes!r}; choose all, present or a list of ids."
            )
        check_reduction(reduction, type(self).__name__)
        if not per_image and reduction != "none":
            raise UserError(
                f"LovaszLoss has reduction={reduction!r}, but one loss for the whole batch: set "
                "reduction='none', or per_image=True."
            )
        self.loss_type = loss_type
        self.classes = classes
        self.per_image = per_image
        self.reduction = reduction
        self.loss_weight = loss_weight
        self.loss_name = loss_name
        self.register_buffer("class_weight", class_weight_tensor(class_weight), persistent=False)

    @property
    def by_softmax(self) -> bool:
        """Whether one channel says nothing."""
        return self.loss_type == "multi_class"

    def forward(
        self,
        cls_score: Tensor,
        label: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
        ignore_index: int | None = 255,
    ) -> Tensor:
        """Of logits (N, C, H, W) and label ids (N, H, W); ``weight`` changes nothing.

        For "binary" logits may be (N, H, W).
        """
        if not self.per_image:
            return self.loss_weight * self._of_pixels(cls_score, label, ignore_index)
        reduction = reduction_override or self.reduction
        losses = self.image_sums(cls_score, label, ignore_index).squeeze(1)
        return self.loss_weight * weight_reduce_loss(losses, None, reduction, avg_factor)

    def image_sums(
        self, cls_score: Tensor, label: Tensor, ignore_index: int | None = 255
    ) -> Tensor:
        """The loss of each image: (N, 1)."""
        pairs = zip(cls_score.split(1), label.split(1), strict=True)
        return torch.stack([self._of_pixels(*pair, ignore_index) for pair in pairs]).unsqueeze(1)

    def of_image_sums(self, sums: Tensor) -> Tensor:
        """The loss from `image_sums` of all images (N, 1), with ``per_image``."""
        return self.loss_weight * weight_reduce_loss(sums, reduction=self.reduction)

    def _of_pixels(self, logits: Tensor, label: Tensor, ignore_index: int | None) -> Tensor:
        valid = counted_pixels(label, ignore_index).flatten()
        if self.loss_type == "binary":
            if logits.numel() != label.numel():
                raise UserError(
                    f"LovaszLoss of loss_type='binary' takes one channel, not {logits.size(1)}: "
                    "set the head's out_channels=1, or loss_type='multi_class'."
                )
            truth = (label.flatten() == 1).to(logits.dtype)
            return _extension(1 - logits.flatten() * (2 * truth - 1), truth, valid)[0]
        num_classes = logits.size(1)
        p = logits.softmax(dim=1).transpose(0, 1).flatten(1)  # (C, pixels)
        class_weight = fitting_weight(self.class_weight, logits)
        chosen = range(num_classes) if isinstance(self.classes, str) else self.classes
        losses, counts = [], []
        for c in chosen:
            truth = (label.flatten() == c).to(p.dtype)
            loss, size = _extension((truth - p[c]).abs(), truth, valid)
            losses.append(loss if class_weight is None else loss * class_weight[c])
            counts.append(size > 0 if self.classes == "present" else torch.ones_like(size) > 0)
        counted = torch.stack(counts)
        total = (torch.stack(losses) * counted).sum()
        return total / counted.sum().clamp(min=1)


def _extension(errors: Tensor, truth: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """The Lovász extension of the Jaccard loss, and how many of ``valid`` pixels are true.

    All arguments are (pixels,). What isn't valid is sorted behind the rest, where it counts
    nothing: taken out, it would make a GPU wait to be counted.
    """
    lowest = torch.finfo(errors.dtype).min
    truth = truth * valid
    ordered, order = errors.where(valid, lowest).sort(descending=True)
    truth = truth[order.detach()]
    size = truth.sum()
    shared = size - truth.cumsum(0)
    jaccard = 1 - shared / (size + (1 - truth).cumsum(0))
    slopes = torch.cat([jaccard[:1], jaccard.diff()])
    return F.relu(ordered) @ slopes, size
