"""The loss of an edge map."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_gc.errors import UserError
from mmseg_gc.registry import MODELS


@MODELS.register_module()
class BoundaryLoss(nn.Module):
    """Sigmoid cross entropy of edges and other pixels, each weighed by the share of the others.

    Pixels that are neither 0 nor 1 in the edge map count nothing.

    Raises: UserError for more than one channel.
    Source: PIDNet, arXiv:2206.02066; ``mmseg.models.losses.BoundaryLoss``.
    """

    weighs_pixels = False

    def __init__(self, loss_weight: float = 1.0, loss_name: str = "loss_boundary") -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def forward(self, bd_pre: Tensor, bd_gt: Tensor, ignore_index: int | None = None) -> Tensor:
        """Of logits (N, 1, H, W) and an edge map (N, H, W) of 0 and 1, as `GenerateEdge` gives."""
        if bd_pre.numel() != bd_gt.numel():
            raise UserError(
                f"BoundaryLoss compares one channel with an edge map, not {bd_pre.size(1)} "
                "channels with classes: it is for a head's own edge output, as PIDHead's."
            )
        logits, target = bd_pre.flatten(), bd_gt.flatten().to(bd_pre.dtype)
        edge, rest = target == 1, target == 0
        wide = torch.promote_types(logits.dtype, torch.float32)  # counts pass what 16 bits hold
        edges, others = edge.sum().to(wide), rest.sum().to(wide)
        weight = (others * edge + edges * rest) / (edges + others).clamp(min=1)
        loss = F.binary_cross_entropy_with_logits(logits, target, weight, reduction="mean")
        return self.loss_weight * loss
