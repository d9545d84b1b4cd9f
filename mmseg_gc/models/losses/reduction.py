"""What losses share: weights of classes and pixels, and how many values become one."""

import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmseg_gc.errors import UserError

REDUCTIONS = ("none", "mean", "sum")
EPS = torch.finfo(torch.float32).eps


def check_reduction(reduction: str, owner: str) -> None:
    """Refuse a ``reduction`` that ``owner``, the name of a loss, doesn't have."""
    if reduction not in REDUCTIONS:
        raise UserError(
            f"{owner} has no reduction={reduction!r}; choose one of {', '.join(REDUCTIONS)}."
        )


def reduce_loss(loss: Tensor, reduction: str) -> Tensor:
    """``loss`` as it is for "none", else its "mean" or "sum".

    Source: ``mmseg.models.losses.reduce_loss``.
    """
    check_reduction(reduction, "reduce_loss")
    if reduction == "none":
        return loss
    return loss.mean() if reduction == "mean" else loss.sum()


def weight_reduce_loss(
    loss: Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    avg_factor: float | Tensor | None = None,
) -> Tensor:
    """``loss`` times ``weight``, reduced; a mean divides by ``avg_factor`` if there is one.

    Raises: UserError for an ``avg_factor`` beside a sum.
    Source: ``mmseg.models.losses.weight_reduce_loss``.
    """
    if weight is not None:
        loss = loss * weight.float()
    if avg_factor is None or reduction == "none":
        return reduce_loss(loss, reduction)
    if reduction == "sum":
        raise UserError('avg_factor does not go with reduction="sum"; use reduction="mean".')
    # A batch in which all pixels are ignored must give 0, not 0 / 0.
    return loss.sum() / (avg_factor + EPS)


def weighted_loss(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """``function(pred, target, **options)``, whose values `weight_reduce_loss` then makes one.

    Source: ``mmseg.models.losses.weighted_loss``.
    """

    @functools.wraps(function)
    def reduced(
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        reduction: str = "mean",
        avg_factor: float | Tensor | None = None,
        **options: object,
    ) -> Tensor:
        return weight_reduce_loss(function(pred, target, **options), weight, reduction, avg_factor)

    return reduced


def get_class_weight(class_weight: Sequence[float] | str | None) -> Sequence[float] | None:
    """``class_weight``, or what the .npy or .json file of that name holds.

    Raises: UserError for a file of another format, or that cannot be read.
    Source: ``mmseg.models.losses.utils.get_class_weight``, which also reads what can run code.
    """
    if not isinstance(class_weight, str):
        return class_weight
    path = Path(class_weight)
    if path.suffix not in (".npy", ".json"):
        raise UserError(
            f"class_weight file {str(path)!r} is of no safe format; save the list as .npy or .json."
        )
    try:
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False)  # Unpickling could run code.
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"class_weight file {str(path)!r} cannot be read: {error}.") from error


def class_weight_tensor(class_weight: Sequence[float] | str | None) -> Tensor | None:
    """What `get_class_weight` gives as float32 (C,); not all of them may be 0."""
    weights = get_class_weight(class_weight)
    if weights is None:
        return None
    tensor = torch.as_tensor(weights, dtype=torch.float32)
    if not tensor.any():
        raise UserError(f"class_weight={weights!r} is 0 for every class: nothing is learnt.")
    return tensor


def fitting_weight(class_weight: Tensor | None, logits: Tensor) -> Tensor | None:
    """``class_weight`` (C,) as ``logits`` (N, C, ...) are, in type and on their device."""
    if class_weight is None:
        return None
    if class_weight.numel() != logits.size(1):
        raise UserError(
            f"class_weight has {class_weight.numel()} numbers for the {logits.size(1)} output "
            "channels; give one a class."
        )
    return class_weight.to(logits)


def counted_pixels(label: Tensor, *ignored: int | None) -> Tensor:
    """Where ``label`` (N, ...) is none of ``ignored``: bool (N, ...)."""
    valid = torch.ones_like(label, dtype=torch.bool)
    for index in ignored:
        if index is not None:
            valid = valid & (label != index)
    return valid
