"""Losses of sums over an image, from logits still to be enlarged, an image at a time."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mmseg_gc.accelerate.upsampled_loss import upsampled_groups
from mmseg_gc.models.layers import resize
from mmseg_gc.models.losses import DiceLoss, FocalLoss, LovaszLoss, TverskyLoss
from mmseg_gc.models.losses.accuracy import share_right
from mmseg_gc.models.losses.reduction import counted_pixels


class SummedLoss:
    """Mixed into a loss that is a function of its ``image_sums``: it takes small logits too."""

    def of_small_logits(
        self, cls_score: Tensor, label: Tensor, *, align_corners: bool, ignore_index: int | None
    ) -> tuple[Tensor, Tensor]:
        """The loss and, (1,), the accuracy in percent of logits before they are enlarged.

        ``cls_score`` (N, C, h, w) in float32 or float64, ``label`` (N, H, W). The numbers are those
        of `forward` and `accuracy` at full size, up to rounding. Logits of full size exist for some
        images at a time, and once more for the gradient.
        """
        # Autocast would enlarge in half precision.
        with torch.autocast(cls_score.device.type, enabled=False):
            sums, right = _ImageSums.apply(cls_score, label, self, align_corners, ignore_index)
            value = self.of_image_sums(sums)  # type: ignore[attr-defined]
        return value, share_right(right, counted_pixels(label, ignore_index).sum())


class _ImageSums(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        label: Tensor,
        loss: Any,
        align_corners: bool,
        ignore_index: int | None,
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(logits, label)
        ctx.options = loss, align_corners, ignore_index
        sums, right = [], label.new_zeros(())
        valid = counted_pixels(label, ignore_index)
        for part in upsampled_groups(logits, label):
            full = _enlarged(logits[part], label, align_corners)
            sums.append(loss.image_sums(full, label[part], ignore_index))
            right += ((full.argmax(dim=1) == label[part]) & valid[part]).sum()
            del full  # before the next ones, not beside them
        ctx.mark_non_differentiable(right)
        return torch.cat(sums), right

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_sums: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        logits, label = ctx.saved_tensors
        loss, align_corners, ignore_index = ctx.options
        grad = torch.empty_like(logits)
        for part in upsampled_groups(logits, label):
            small = logits[part].detach().requires_grad_()
            with torch.enable_grad(), torch.autocast(logits.device.type, enabled=False):
                full = _enlarged(small, label, align_corners)
                sums = loss.image_sums(full, label[part], ignore_index)
            (grad[part],) = torch.autograd.grad(sums, small, grad_sums[part])
            del full, sums
        return grad, None, None, None, None


def _enlarged(logits: Tensor, label: Tensor, align_corners: bool) -> Tensor:
    size = label.shape[1:]
    return resize(logits, size, mode="bilinear", align_corners=align_corners, warning=False)


class SummedDiceLoss(SummedLoss, DiceLoss):
    """`DiceLoss` that also takes logits before they are enlarged to the label's size."""


class SummedFocalLoss(SummedLoss, FocalLoss):
    """`FocalLoss` that also takes logits before they are enlarged to the label's size."""


class SummedTverskyLoss(SummedLoss, TverskyLoss):
    """`TverskyLoss` that also takes logits before they are enlarged to the label's size."""


class SummedLovaszLoss(SummedLoss, LovaszLoss):
    """`LovaszLoss` that also takes logits before they are enlarged to the label's size."""


SUMMED: dict[type[nn.Module], type[nn.Module]] = {
    DiceLoss: SummedDiceLoss,
    FocalLoss: SummedFocalLoss,
    TverskyLoss: SummedTverskyLoss,
    LovaszLoss: SummedLovaszLoss,
}


def can_sum(loss: nn.Module) -> bool:
    """Whether enlarging and then calling ``loss`` is what its `SummedLoss` computes."""
    if getattr(loss, "reduction", "mean") == "none":
        return False
    return not isinstance(loss, LovaszLoss) or loss.per_image and loss.loss_type == "multi_class"
