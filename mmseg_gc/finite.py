"""Which weights, statistics or momenta nothing can be computed with."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm


def spoilt(tensors: Mapping[str, object]) -> list[str]:
    """Names of those ``tensors`` that hold NaN or infinity, or a negative ``running_var``.

    If there are none, this is one fused pass on the tensors' device and one wait for its result.
    """
    floats = {
        name: value.detach()
        for name, value in tensors.items()
        if isinstance(value, Tensor) and value.is_floating_point() and value.numel()
    }
    if not floats:
        return []
    norm = get_total_norm(floats.values()).double()
    variances = [value.flatten() for name, value in floats.items() if _is_variance(name)]
    lowest = torch.cat(variances).min().to(norm) if variances else torch.zeros_like(norm)
    norm, lowest = torch.stack([norm, lowest]).tolist()
    if math.isfinite(norm) and lowest >= 0:
        return []
    # Each by itself: the norm of large but finite numbers overflows as well.
    flags = torch.stack([_is_spoilt(name, value).cpu() for name, value in floats.items()])
    return [name for name, flag in zip(floats, flags.tolist(), strict=True) if flag]


def _is_variance(name: str) -> bool:
    return name.endswith("running_var")


def _is_spoilt(name: str, value: Tensor) -> Tensor:
    whole = value.isfinite().all()
    return ~(whole & (value >= 0).all()) if _is_variance(name) else ~whole


def listed(names: list[str]) -> str:
    """The first three of ``names``, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
