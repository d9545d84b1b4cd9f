"""Cross entropy of logits that are still to be enlarged to the label's size, a part at a time."""

from collections.abc import Iterator
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmseg_gc.models.layers import resize
from mmseg_gc.models.losses import CrossEntropyLoss
from mmseg_gc.models.losses.accuracy import share_right
from mmseg_gc.models.losses.reduction import fitting_weight

# Logits at full size that exist at one time: what a core's cache holds, and what keeps a GPU busy.
CHUNK = 1 << 20
GROUP = 10 << 20


class UpsampledCrossEntropyLoss(CrossEntropyLoss):
    """`CrossEntropyLoss` that also takes logits before they are enlarged to the label's size."""

    def of_small_logits(
        self, cls_score: Tensor, label: Tensor, *, align_corners: bool, ignore_index: int | None
    ) -> tuple[Tensor, Tensor]:
        """The loss and, (1,), the accuracy in percent of logits before they are enlarged.

        ``cls_score`` (N, C, h, w) in float32 or float64, ``label`` (N, H, W). The numbers are those
        of `forward` and `accuracy` at full size, whose logits exist a few rows at a time here.
        """
        valid = label != (-100 if ignore_index is None else ignore_index)
        divisor = self.divisor(cls_score, label, ignore_index)
        total, right = upsampled_cross_entropy(
            cls_score,
            label * valid,
            valid=valid,
            class_weight=fitting_weight(self.class_weight, cls_score),
            align_corners=align_corners,
        )
        return self.loss_weight * (total / divisor), share_right(right, valid.sum())


def can_upsample(loss: CrossEntropyLoss) -> bool:
    """Whether enlarging and then calling ``loss`` is what `UpsampledCrossEntropyLoss` computes."""
    return not loss.use_sigmoid and loss.reduction == "mean"


def upsampled_cross_entropy(
    logits: Tensor,
    label: Tensor,
    *,
    valid: Tensor,
    class_weight: Tensor | None = None,
    align_corners: bool = False,
) -> tuple[Tensor, Tensor]:
    """Weighted sum of the cross entropy of all valid pixels, and the number of them that are right.

    ``logits`` (N, C, h, w), float32 or float64, are enlarged bilinearly to the size of ``label``
    (N, H, W), whose ids are all below C, also where ``valid`` (N, H, W) is False. ``class_weight``
    is (C,).

    The gradient is computed along with the loss, so that neither logits nor probabilities of the
    full size are kept for the backward pass.

    Source: ``F.interpolate`` and ``F.cross_entropy``, whose numbers these are up to rounding.
    """
    label = label.long()
    # Autocast would enlarge in half precision.
    with torch.autocast(logits.device.type, enabled=False):
        return _UpsampledCrossEntropy.apply(logits, label, valid, class_weight, align_corners)


class _UpsampledCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx,
        logits: Tensor,
        label: Tensor,
        valid: Tensor,
        class_weight: Tensor | None,
        align_corners: bool,
    ) -> tuple[Tensor, Tensor]:
        # Rows in a cache are best made by small matrix products, which a GPU does in no time but
        # also in no way that keeps it busy.
        way = _by_rows if logits.device.type == "cpu" else _by_images
        needs_grad = ctx.needs_input_grad[0]
        total, right, grad = way(logits, label, valid, class_weight, align_corners, needs_grad)
        ctx.mark_non_differentiable(right)
        if needs_grad:
            ctx.save_for_backward(grad)
        return total, right

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_total: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = ctx.saved_tensors
        return grad * grad_total, None, None, None, None


def _by_rows(
    logits: Tensor,
    label: Tensor,
    valid: Tensor,
    class_weight: Tensor | None,
    align_corners: bool,
    needs_grad: bool,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Loss, number of right pixels and gradient, a chunk of rows of one image at a time."""
    rows, cols = _enlarging_both(logits, label, align_corners)
    grad = torch.zeros_like(logits) if needs_grad else None
    total, right = logits.new_zeros(()), label.new_zeros(())
    channels, width = logits.shape[1], label.shape[2]
    chunk = max(CHUNK // (channels * width), 1)
    for i, image in enumerate(logits.contiguous()):
        for top in range(0, label.shape[1], chunk):
            part = slice(top, top + chunk)
            target, counts = label[i, part][None], valid[i, part]
            weight = counts.to(logits.dtype)
            if class_weight is not None:
                weight = weight * class_weight[target[0]]
            x = rows[part] @ image @ cols.T  # (C, chunk, W)
            best, chosen = x.max(dim=0)
            right += ((chosen == target[0]) & counts).sum()
            of_target = x.gather(0, target)[0]
            x = x.sub_(best).exp_()
            norm = x.sum(dim=0)
            total += ((norm.log() + best - of_target) * weight).sum()
            if grad is not None:
                x = x.mul_(weight / norm).scatter_add_(0, target, -weight[None])
                grad[i] += rows[part].T @ (x @ cols)
    return total, right, grad


def _enlarging_both(logits: Tensor, label: Tensor, align_corners: bool) -> tuple[Tensor, Tensor]:
    """Matrices (H, h) and (W, w), by which logits of one size become those of the other."""
    sides = zip(logits.shape[2:], label.shape[1:], strict=True)
    of_logits = logits.dtype, logits.device
    rows, cols = (_enlarging(old, new, align_corners, *of_logits) for old, new in sides)
    return rows, cols


@lru_cache(maxsize=64)
def _enlarging(
    old: int, new: int, align_corners: bool, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """The matrix (new, old) that enlarges a column of pixels, with torch's own weights."""
    with torch.inference_mode(False):  # or training could not use what a validation left here
        unit = torch.eye(old, dtype=dtype)[None, :, :, None]
        size = (new, 1)
        enlarged = resize(unit, size, mode="bilinear", align_corners=align_corners, warning=False)
        return enlarged[0, :, :, 0].T.contiguous().to(device, non_blocking=True)


def _by_images(
    logits: Tensor,
    label: Tensor,
    valid: Tensor,
    class_weight: Tensor | None,
    align_corners: bool,
    needs_grad: bool,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """What `_by_rows` returns, some whole images at a time: by few kernels, that read little.

    The gradient is enlarged back by products: torch's own kernel adds each number to its sum in
    memory, in an order of chance, and took a third of a training step's kernels with 150 classes.
    """
    rows, cols = _enlarging_both(logits, label, align_corners)
    weight = valid.to(logits.dtype)
    if class_weight is not None:
        weight = weight * class_weight[label]
    best, of_target, p_of_best = (torch.empty_like(weight).unsqueeze(1) for _ in range(3))
    target, chosen = label.unsqueeze(1), torch.empty_like(label).unsqueeze(1)
    minus_one = weight.new_full((1, 1, 1, 1), -1)
    # In the logits' layout, which the convolution before them has as well. Made in planes, for that
    # is how softmax reads images fastest.
    grad = torch.empty_like(logits) if needs_grad else None
    for part in upsampled_groups(logits, label):
        small = logits[part].contiguous()
        size = label.shape[1:]
        x = resize(small, size, mode="bilinear", align_corners=align_corners, warning=False)
        torch.max(x, dim=1, keepdim=True, out=(best[part], chosen[part]))
        torch.gather(x, 1, target[part], out=of_target[part])
        p = F.softmax(x, dim=1)
        torch.gather(p, 1, chosen[part], out=p_of_best[part])
        del x
        if grad is not None:
            p.scatter_add_(1, target[part], minus_one.expand_as(target[part]))
            planes = (p.mul_(weight[part].unsqueeze(1)) @ cols).flatten(0, 1)  # (n * C, H, w)
            grad[part] = torch.bmm(rows.T.expand(len(planes), -1, -1), planes).view_as(small)
            del planes
        del p  # before the next ones, not beside them
    # The largest probability is never too small for its logarithm, as that of the target may be.
    losses = best.sub_(of_target).sub_(p_of_best.log_())
    total = (losses * weight.unsqueeze(1)).sum()
    right = ((chosen == target) & valid.unsqueeze(1)).sum()
    return total, right, grad


def upsampled_groups(logits: Tensor, label: Tensor) -> Iterator[slice]:
    """The images of ``logits`` in groups whose logits at ``label``'s size exist at one time."""
    step = max(GROUP // (logits.shape[1] * label[0].numel()), 1)
    return (slice(start, start + step) for start in range(0, len(logits), step))
