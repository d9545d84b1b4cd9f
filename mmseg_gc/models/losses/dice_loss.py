"""The Dice loss: how far predicted and true regions overlap."""

import torch
from torch import Tensor, nn

from mmseg_gc.errors import UserError
from mmseg_gc.models.losses.reduction import check_reduction, counted_pixels, weight_reduce_loss
from mmseg_gc.registry import MODELS


@MODELS.register_module()
class DiceLoss(nn.Module):
    """One minus the Dice coefficient of each image, over all its classes at once.

    With ``use_sigmoid`` probabilities are those of each class alone, else of all classes together;
    without ``activate`` they are given as they are. ``naive_dice`` doesn't square what it divides
    by. ``ignore_index`` names a class that is left out. Pixels whose label is none of the classes
    are learnt to be nothing at all; if every pixel is such, the gradient is 0.

    One channel is the probability of class 1, as for `CrossEntropyLoss`.

    Raises: UserError for an option it cannot follow.
    Source: V-Net, arXiv:1606.04797; ``mmseg.models.losses.DiceLoss``, to which one channel is the
    probability of class 0, and whose ``naive_dice`` learns from images without a label.
    """

    weighs_pixels = False

    def __init__(
        self,
        use_sigmoid: bool = True,
        activate: bool = True,
        reduction: str = "mean",
        naive_dice: bool = False,
        loss_weight: float = 1.0,
        ignore_index: int | None = 255,
        eps: float = 1e-3,
        loss_name: str = "loss_dice",
    ) -> None:
        super().__init__()
        check_reduction(reduction, type(self).__name__)
        self.use_sigmoid = use_sigmoid
        self.activate = activate
        self.reduction = reduction
        self.naive_dice = naive_dice
        self.loss_weight = loss_weight
        self.ignore_index = ignore_index
        self.eps = eps
        self.loss_name = loss_name

    @property
    def by_softmax(self) -> bool:
        """Whether one channel says nothing."""
        return self.activate and not self.use_sigmoid

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
        ignore_index: int | None = 255,
    ) -> Tensor:
        """Of logits (N, C, ...) and label ids (N, ...), or masks as large as the logits.

        ``weight`` is (N,). ``ignore_index`` changes nothing but where it is one of the classes.
        """
        reduction = reduction_override or self.reduction
        sums = self.image_sums(pred, target, ignore_index)
        return self.of_image_sums(sums, weight, reduction, avg_factor)

    def image_sums(self, pred: Tensor, target: Tensor, ignore_index: int | None = 255) -> Tensor:
        """Of each image what `of_image_sums` is made of: (N, 3)."""
        num_classes = pred.size(1)
        if self.activate:
            pred = pred.sigmoid() if self.use_sigmoid else pred.softmax(dim=1)
        classes = [c for c in range(num_classes) if c != self.ignore_index]
        if not classes:
            raise UserError(f"DiceLoss's ignore_index={self.ignore_index} is its only class.")
        if pred.shape == target.shape:
            if len(classes) < num_classes:
                chosen = torch.tensor(classes, device=pred.device)
                pred, target = pred.index_select(1, chosen), target.index_select(1, chosen)
            of_target, size = pred * target, target.float().square()
            of_target, size = of_target.flatten(1), size.flatten(1)
            if self.naive_dice:
                size = target.float().flatten(1)
        else:
            # No map of ones and zeros for each class: only one of them is a one.
            valid = counted_pixels(target, self.ignore_index, ignore_index)
            if num_classes == 1:
                valid = valid & (target == 1)
                of_target = pred.squeeze(1) * valid
            else:
                valid = valid & (target < num_classes)
                ids = target.where(valid, 0).clamp(min=0).unsqueeze(1)
                of_target = pred.gather(1, ids).squeeze(1) * valid
            of_target, size = of_target.flatten(1), valid.flatten(1).to(pred.dtype)
            if len(classes) < num_classes:
                pred = pred.index_select(1, torch.tensor(classes, device=pred.device))
        pred = pred.flatten(1)
        predicted = pred.sum(1) if self.naive_dice else pred.square().sum(1)
        return torch.stack([of_target.sum(1), predicted, size.sum(1)], dim=1)

    def of_image_sums(
        self,
        sums: Tensor,
        weight: Tensor | None = None,
        reduction: str | None = None,
        avg_factor: float | None = None,
    ) -> Tensor:
        """The loss from `image_sums` of all images (N, 3)."""
        shared, predicted, size = sums.unbind(1)
        if self.naive_dice:
            dice = (2 * shared + self.eps) / (predicted + size + self.eps)
            # Of images without any label nothing is to be learnt, not even that nothing is there.
            dice = dice.where((size > 0).any(), dice.detach())
        else:
            dice = 2 * shared / (predicted + self.eps + size + self.eps)
        if weight is not None and weight.shape != dice.shape:
            raise UserError(
                f"DiceLoss takes one weight an image, {len(dice)}, and not {tuple(weight.shape)}."
            )
        return self.loss_weight * weight_reduce_loss(
            1 - dice, weight, reduction or self.reduction, avg_factor
        )
