"""Share of pixels that are labelled right."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmseg_gc.errors import UserError


def accuracy(
    pred: Tensor,
    target: Tensor,
    topk: int | Sequence[int] = 1,
    thresh: float | None = None,
    ignore_index: int | None = None,
) -> Tensor | list[Tensor]:
    """Percent of targets among the ``topk`` best logits, of shape (1,); one for each of ``topk``.

    ``pred`` is (N, C, ...) and ``target`` the label ids (N, ...). Logits up to ``thresh`` count as
    wrong. A single channel is the logit of class 1, chosen where its sigmoid exceeds ``thresh``, or
    0.5. If all targets are ignored the answer is 100.

    Raises:
        UserError: ``topk`` asks for more classes than there are.

    Source: ``mmseg.models.losses.accuracy``, which takes every pixel of a single channel for 0.
    """
    ks = (topk,) if isinstance(topk, int) else tuple(topk)
    if max(ks) > pred.size(1):
        raise UserError(
            f"accuracy's topk={topk} is more than the {pred.size(1)} channels; lower it."
        )
    if pred.size(0) == 0:
        results = [pred.new_zeros(()) for _ in ks]
        return results[0] if isinstance(topk, int) else results
    if pred.size(1) == 1:
        labels = pred.sigmoid() > (0.5 if thresh is None else thresh)
        largest, thresh = pred, None
    elif max(ks) == 1:
        largest, labels = pred.max(dim=1, keepdim=True)  # Far cheaper than topk over many pixels.
    else:
        largest, labels = pred.topk(max(ks), dim=1)  # (N, k, ...)
    correct = labels == target.unsqueeze(1)
    if thresh is not None:
        correct &= largest > thresh
    # Counted by masks, not by indexing, which would make a GPU wait.
    total: float | Tensor
    if ignore_index is None:
        total = target.numel()
    else:
        valid = target != ignore_index
        correct &= valid.unsqueeze(1)
        total = valid.sum().float()
    results = [share_right(correct[:, :k].sum(), total) for k in ks]
    return results[0] if isinstance(topk, int) else results


def share_right(right: Tensor, total: float | Tensor) -> Tensor:
    """``right`` of ``total`` in percent, of shape (1,); 100 where both are 0."""
    eps = torch.finfo(torch.float32).eps
    return (right.float() + eps).mul(100.0 / (total + eps)).reshape(1)


class Accuracy(nn.Module):
    """`accuracy` with its options fixed."""

    def __init__(
        self,
        topk: int | Sequence[int] = (1,),
        thresh: float | None = None,
        ignore_index: int | None = None,
    ) -> None:
        super().__init__()
        self.topk = topk
        self.thresh = thresh
        self.ignore_index = ignore_index

    def forward(self, pred: Tensor, target: Tensor) -> Tensor | list[Tensor]:
        return accuracy(pred, target, self.topk, self.thresh, self.ignore_index)
