"""Attention on CPUs, some queries at a time."""

import math

import torch
from torch import Tensor

from mmseg_gc.inference.scratch import scratch

QUERIES = 512  # at a time: their weights stay in the cache
MANY_KEYS = 1024  # from which on that pays


def suits_blocks(query: Tensor, key: Tensor, value: Tensor) -> bool:
    """Whether `attend` takes these rows, and is faster than torch's kernels.

    In float32 torch is as fast where values are as wide as what is compared. For wider values it
    makes the whole matrix of weights, in float32 for those of sixteen bits too.
    """
    learns = torch.is_grad_enabled() and any(x.requires_grad for x in (query, key, value))
    elsewhere = torch.jit.is_tracing() or torch.compiler.is_compiling()
    return (
        query.device.type == "cpu"
        and not (learns or elsewhere)
        and key.shape[1] >= MANY_KEYS
        and (value.shape[2] > key.shape[2] or query.element_size() == 2)
    )


def attend(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """As `mmseg_gc.models.layers.attend`: (N, P, C), (N, Q, C) and (N, Q, D) in, (N, P, D) out.

    What is compared in few channels is so in float32. In as many as values have, that takes as
    long as all the rest, and is done in the type of the rows, as under autocast; then the keys'
    mean is taken off, which changes no weight, so that less is rounded.
    """
    precise = value.shape[2] > key.shape[2]
    key = key.float() if precise else key - key.mean(dim=1, keepdim=True)
    query = query.to(key.dtype) * scale
    out = value.new_empty(*query.shape[:2], value.shape[2])
    shape = (len(key), min(QUERIES, query.shape[1]), key.shape[1])
    with scratch(2 * math.prod(shape), key) as pool:
        for rows, found in zip(query.split(QUERIES, 1), out.split(QUERIES, 1), strict=True):
            # (N, q, Q) each.
            energies, weights = (part.view(shape)[:, : rows.shape[1]] for part in pool.chunk(2))
            torch.bmm(rows, key.transpose(1, 2), out=energies)
            torch.softmax(energies, 2, out=weights)
            torch.bmm(weights.to(value.dtype), value, out=found)
    return out
