"""Cross entropy of the pixels that are hard."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_gc.models.losses.reduction import class_weight_tensor, counted_pixels, fitting_weight
from mmseg_gc.registry import MODELS


@MODELS.register_module()
class OhemCrossEntropy(nn.Module):
    """Mean softmax cross entropy of the pixels whose true class has a probability below ``thres``.

    At least about ``min_kept`` pixels of the batch count, if need be of higher probabilities.
    ``ignore_label`` doesn't count, beside the head's own. If no pixel is left, loss and gradient
    are 0.

    Source: PIDNet, arXiv:2206.02066; ``mmseg.models.losses.OhemCrossEntropy``, whose loss is NaN
    if no pixel is hard, and has no gradient if every pixel is ignored.
    """

    class_weight: Tensor | None
    by_softmax = True
    weighs_pixels = False

    def __init__(
        self,
        ignore_label: int | None = 255,
        thres: float = 0.7,
        min_kept: int = 100000,
        loss_weight: float = 1.0,
        class_weight: Sequence[float] | str | None = None,
        loss_name: str = "loss_ohem",
    ) -> None:
        super().__init__()
        self.thresh = thres
        self.min_kept = max(1, min_kept)
        self.ignore_label = ignore_label
        self.loss_weight = loss_weight
        self.loss_name = loss_name
        self.register_buffer("class_weight", class_weight_tensor(class_weight), persistent=False)

    def forward(self, score: Tensor, target: Tensor, ignore_index: int | None = None) -> Tensor:
        """Of logits (N, C, H, W) and label ids (N, H, W)."""
        valid = counted_pixels(target, self.ignore_label, ignore_index)
        ids = target.where(valid, 0)
        losses = F.cross_entropy(score, ids, reduction="none")
        hard = valid & is_hard((-losses.detach()).exp(), valid, self.min_kept, self.thresh)
        class_weight = fitting_weight(self.class_weight, score)
        if class_weight is not None:
            losses = losses * class_weight[ids]
        return self.loss_weight * (losses * hard).sum() / hard.sum().clamp(min=1)


def is_hard(probability: Tensor, valid: Tensor, min_kept: int, thresh: float) -> Tensor:
    """Where the ``probability`` of the true class (N, ...) is too low, also where not ``valid``.

    Too low is what is below ``thresh``, or among the ``min_kept`` lowest of valid pixels.
    """
    lowest = probability.where(valid, 2.0).flatten().sort().values
    # A number on the device stays there: to look at it would make a GPU wait.
    place = (valid.sum() - 1).clamp(min=0, max=min_kept)
    return probability < lowest.gather(0, place.unsqueeze(0)).clamp(min=thresh)
