"""Cross entropy of scores that are still to be enlarged to the label's size, a band at a time."""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmseg_gc.models.layers import resize

# Scores at full size that exist at one time: what a core's cache holds, and what keeps a GPU busy.
SCORES_AT_A_TIME = {"cpu": 1 << 20, "cuda": 1 << 25}


def upsampled_cross_entropy(
    scores: Tensor,
    label: Tensor,
    *,
    valid: Tensor,
    class_weight: Tensor | None = None,
    align_corners: bool = False,
) -> tuple[Tensor, Tensor]:
    """Weighted sum of the cross entropy of all valid pixels, and the number of them that are right.

    ``scores`` (N, C, h, w), float32 or float64, are enlarged bilinearly to the size of ``label``
    (N, H, W), whose ids are all below C, also where ``valid`` (N, H, W) is False. ``class_weight``
    is (C,).

    The gradient is computed along with the loss, so that neither scores nor probabilities of the
    full size are kept for the backward pass.

    Source: ``F.interpolate`` and ``F.cross_entropy``, whose numbers these are up to rounding.
    """
    device = scores.device.type
    # Autocast would enlarge in half precision.
    with torch.autocast(device, enabled=False):
        rows, cols = (
            _enlarging(scores, old, new, align_corners)
            for old, new in zip(scores.shape[2:], label.shape[1:], strict=True)
        )
        return _UpsampledCrossEntropy.apply(scores, label, valid, class_weight, rows, cols)


def _enlarging(like: Tensor, old: int, new: int, align_corners: bool) -> Tensor:
    """The matrix (new, old) that enlarges a column of pixels, with torch's own weights."""
    unit = torch.eye(old, dtype=like.dtype, device=like.device)[None, :, :, None]
    size = (new, 1)
    enlarged = resize(unit, size, mode="bilinear", align_corners=align_corners, warning=False)
    return enlarged[0, :, :, 0].T.contiguous()


class _UpsampledCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx,
        scores: Tensor,
        label: Tensor,
        valid: Tensor,
        class_weight: Tensor | None,
        rows: Tensor,
        cols: Tensor,
    ) -> tuple[Tensor, Tensor]:
        needs_grad = ctx.needs_input_grad[0]
        grad = torch.zeros_like(scores) if needs_grad else None
        total, right = scores.new_zeros(()), label.new_zeros((), dtype=torch.long)
        channels, width = scores.shape[1], label.shape[2]
        at_a_time = SCORES_AT_A_TIME.get(scores.device.type, SCORES_AT_A_TIME["cuda"])
        band = max(at_a_time // (channels * width), 1)
        for i, picture in enumerate(scores.contiguous()):
            for top in range(0, label.shape[1], band):
                part = slice(top, top + band)
                target, counts = label[i, part].long()[None], valid[i, part]
                weight = counts.to(scores.dtype)
                if class_weight is not None:
                    weight = weight * class_weight[target[0]]
                x = rows[part] @ picture @ cols.T  # (C, band, W)
                best, chosen = x.max(dim=0)
                right += ((chosen == target[0]) & counts).sum()
                of_target = x.gather(0, target)[0]
                x = x.sub_(best).exp_()
                norm = x.sum(dim=0)
                total += ((norm.log() + best - of_target) * weight).sum()
                if needs_grad:
                    x = x.mul_(weight / norm).scatter_add_(0, target, -weight[None])
                    grad[i] += rows[part].T @ (x @ cols)
        ctx.mark_non_differentiable(right)
        if needs_grad:
            ctx.save_for_backward(grad)
        return total, right

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_total: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = ctx.saved_tensors
        return grad * grad_total, None, None, None, None, None
