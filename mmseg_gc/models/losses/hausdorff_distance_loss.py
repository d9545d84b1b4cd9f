"""The loss that stands for the Hausdorff distance between two regions."""

from collections.abc import Sequence

import torch
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

CHUNK = 1 << 24  # numbers that exist at one time


@MODELS.register_module(name=["HausdorffDistanceLoss", "HuasdorffDisstanceLoss"])
class HausdorffDistanceLoss(nn.Module):
    """Squared error of softmax probabilities, times how far inside a region a pixel lies.

    It is for two classes, 0 being the background: as published, all but class 0 are one region,
    and probabilities are compared with label ids. ``ignore_index`` counts as background, beside the
    head's own, and as a class it is left out. If every pixel is ignored the gradient is 0.

    Raises: UserError for an option it cannot follow.
    Source: Ma et al., MIDL 2020; ``mmseg.models.losses.HuasdorffDisstanceLoss``, whose
    ``class_weight`` fails. Distances are computed where the logits are, without SciPy.
    """

    class_weight: Tensor | None
    by_softmax = True
    weighs_pixels = False

    def __init__(
        self,
        reduction: str = "mean",
        class_weight: Sequence[float] | str | None = None,
        loss_weight: float = 1.0,
        ignore_index: int | None = 255,
        loss_name: str = "loss_huasdorff_disstance",
    ) -> None:
        super().__init__()
        check_reduction(reduction, type(self).__name__)
        self.reduction = reduction
        self.loss_weight = loss_weight
        self.ignore_index = ignore_index
        self.loss_name = loss_name
        self.register_buffer("class_weight", class_weight_tensor(class_weight), persistent=False)

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
        ignore_index: int | None = None,
    ) -> Tensor:
        """Of logits (N, C, H, W) and label ids (N, H, W)."""
        num_classes = pred.size(1)
        chosen = [c for c in range(1, num_classes) if c != self.ignore_index]
        if not chosen:
            raise UserError("HausdorffDistanceLoss has no class beside the background to learn.")
        valid = counted_pixels(target, self.ignore_index, ignore_index)
        target = target * valid
        p = pred.softmax(dim=1)
        with torch.no_grad():
            inside = squared_distances(target != 0) + squared_distances(p.argmax(dim=1) != 0)
        class_weight = fitting_weight(self.class_weight, pred)
        total = p.new_zeros(())
        for c in chosen:
            loss = ((p[:, c] - target).square() * inside).mean()
            total = total + (loss if class_weight is None else loss * class_weight[c])
        loss = total / num_classes
        loss = loss.where(valid.any(), loss.detach())
        reduction = reduction_override or self.reduction
        return self.loss_weight * weight_reduce_loss(loss, None, reduction, avg_factor)


def squared_distances(mask: Tensor) -> Tensor:
    """Of each pixel in ``mask`` (N, H, W), bool, the squared distance to the nearest one outside.

    float32 (N, H, W), exact below 2**24. If all pixels are inside, the one above the top left
    corner counts as outside.

    Source: ``scipy.ndimage.distance_transform_edt``, squared.
    """
    height, width = mask.shape[1:]
    rows, columns = (torch.arange(n, device=mask.device).float() for n in (height, width))
    far = float(height + width)
    # First along each column: how far up and down the nearest pixel outside is.
    place = rows.view(1, -1, 1).expand(mask.shape)
    above = (place - place.where(~mask, -far).cummax(1).values).clamp(max=far)
    below = (place.where(~mask, 2 * far).flip(1).cummin(1).values.flip(1) - place).clamp(max=far)
    along = torch.minimum(above, below).square()  # (N, H, W)
    # Then over all columns; those left and right cost the square of the way to them.
    ways = (columns.view(-1, 1) - columns).square()  # (W, W)
    step = max(CHUNK // max(along.numel(), 1), 1)
    nearest = [
        (along.unsqueeze(2) + part.view(1, 1, *part.shape)).amin(3) for part in ways.split(step)
    ]
    found = torch.cat(nearest, dim=2)
    corner = (rows + 1).square().view(-1, 1) + columns.square()
    return found.where((~mask).flatten(1).any(1).view(-1, 1, 1), corner)
