"""Learn from hard pixels alone."""

from typing import Any

import torch
from torch import Tensor, nn

from mmseg_gc.errors import UserError
from mmseg_gc.models.losses.ohem_cross_entropy import is_hard
from mmseg_gc.registry import TASK_UTILS


class BasePixelSampler:
    """Base of what a head's key ``sampler`` names; it is built with the head as ``context``.

    Source: ``mmseg.structures.sampler.BasePixelSampler``.
    """

    def sample(self, seg_logit: Tensor, seg_label: Tensor) -> Tensor:
        """A weight (N, H, W) for logits (N, C, H, W) and label ids (N, 1, H, W)."""
        raise NotImplementedError


@TASK_UTILS.register_module()
class OHEMPixelSampler(BasePixelSampler):
    """Online hard example mining: 1 for the pixels that a head has yet to learn, 0 for the rest.

    Hard are those whose true class has a probability below ``thresh``, and at least about
    ``min_kept`` an image of the batch; without ``thresh``, those ``min_kept`` of the largest loss.

    Args:
        context: a head, whose ``ignore_index`` and ``loss_decode`` count.

    Raises: UserError for a ``min_kept`` below 2.
    Source: ``mmseg.structures.sampler.OHEMPixelSampler``.
    """

    def __init__(self, context: Any, thresh: float | None = None, min_kept: int = 100000) -> None:
        if min_kept < 2:
            raise UserError(f"OHEMPixelSampler.min_kept is {min_kept}: give 2 pixels or more.")
        self.context = context
        self.thresh = thresh
        self.min_kept = min_kept

    @torch.no_grad()
    def sample(self, seg_logit: Tensor, seg_label: Tensor) -> Tensor:
        """The weight (N, H, W) of logits (N, C, H, W) and label ids (N, 1, H, W).

        Raises: UserError for two sizes.
        """
        if seg_logit.shape[2:] != seg_label.shape[2:]:
            sizes = tuple(seg_logit.shape[2:]), tuple(seg_label.shape[2:])
            raise UserError(
                f"logits of {sizes[0]} and labels of {sizes[1]}: bring them to one size."
            )
        label, ignore_index = seg_label.squeeze(1).long(), self.context.ignore_index
        valid = torch.ones_like(label, dtype=torch.bool)
        if ignore_index is not None:
            valid = label != ignore_index
        kept = self.min_kept * len(label)
        if self.thresh is not None:
            ids = label.where(valid, 0).unsqueeze(1)
            probability = seg_logit.softmax(dim=1).gather(1, ids).squeeze(1)
            hard = is_hard(probability, valid, kept, self.thresh)
            return (hard & valid).to(seg_logit.dtype)
        losses = self._losses(seg_logit, label).where(valid, float("-inf"))
        largest = losses.flatten().sort(descending=True).indices[:kept]
        weight = seg_logit.new_zeros(label.numel()).index_fill_(0, largest, 1)
        return weight.view_as(label) * valid

    def _losses(self, logits: Tensor, label: Tensor) -> Tensor:
        of_head = self.context.loss_decode
        total = logits.new_zeros(())
        for loss in of_head if isinstance(of_head, nn.ModuleList) else [of_head]:
            total = total + loss(
                logits,
                label,
                weight=None,
                ignore_index=self.context.ignore_index,
                reduction_override="none",
            )
        if total.shape != label.shape:
            raise UserError(
                f"OHEMPixelSampler without thresh wants losses of single pixels, {label.shape}, "
                f"and loss_decode gives {total.shape}: set its thresh, or use CrossEntropyLoss."
            )
        return total
