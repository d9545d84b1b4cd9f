"""Winograd's filters, transformed some at a time at each call, or kept where there is room."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from mmseg_gc.accelerate.cpu.winograd_transforms import Tile, cached, transforms
from mmseg_gc.accelerate.derived import Derived, has_numbers
from mmseg_gc.accelerate.kernels import Kernels
from mmseg_gc.inference.parallel import parts, share

ALIGNED = 16  # numbers, of which products are made fastest
# Numbers between the places of filters in float32: a cache holds few lines whose addresses are a
# power of two apart, and transforming took a fifth longer. Products in bfloat16 copy what has gaps.
GAP = 48
# Of filters in sixteen bits that are kept: an R50's would take 370 MiB.
KEPT_BYTES = 64 << 20

_kept = Derived(KEPT_BYTES)


def in_parts(
    kernels: list[Kernels], tile: Tile, pool: Tensor, at_once: int
) -> Iterator[tuple[int, Tensor, Tensor | None]]:
    """Number of the first one, transformed filters (48, k, C), and biases (k,), of one part a time.

    Parts lie in ``pool``, of `filters_size` numbers, one after the other, but for those kept.
    """
    first = 0
    for one in kernels:
        scale, bias = one.scale_and_bias()
        for part in parts(range(one.count), at_once, ALIGNED):
            filters = _filters(one, scale, part, tile, pool)
            of_part = None if bias is None else bias[part.start : part.stop]
            yield first + part.start, filters, of_part
        first += one.count


def filters_size(tile: Tile, count: int, channels: int, dtype: torch.dtype) -> int:
    """Numbers that ``count`` transformed filters take."""
    return tile.places * (count * channels + _gap(dtype))


def _filters(
    kernels: Kernels, scale: Tensor | None, part: range, tile: Tile, pool: Tensor
) -> Tensor:
    """A part of them, transformed (48, k, C): kept, or in ``pool``."""
    weight = kernels.weight
    shape = (tile.places, len(part), weight.shape[1])

    def transformed(out: Tensor) -> tuple[Tensor]:
        _transform(weight, scale, part, tile, out)
        return (out,)

    def in_pool() -> tuple[Tensor]:
        return transformed(_places(pool, tile, *shape[1:]))

    if pool.element_size() > 2 or not has_numbers(weight):
        return in_pool()[0]
    return _kept.get(
        [kernels],
        lambda: transformed(pool.new_empty(shape)),
        num_bytes=math.prod(shape) * pool.element_size(),
        use=(tile, part),
        unkept=in_pool,
    )[0]


def _places(pool: Tensor, tile: Tile, count: int, channels: int) -> Tensor:
    """Room for ``count`` filters (48, count, C)."""
    room = pool[: filters_size(tile, count, channels, pool.dtype)].view(tile.places, -1)
    return room[:, : count * channels].unflatten(1, (count, channels))


def _gap(dtype: torch.dtype) -> int:
    return GAP if dtype is torch.float32 else 0


def _transform(weight: Tensor, scale: Tensor | None, part: range, tile: Tile, out: Tensor) -> None:
    """A part of the filters (K, C, 3, 3), times ``scale`` (K,), into the domain (48, k, C)."""
    channels, dtype = out.shape[2], out.dtype
    factors = transforms(*tile)[1].to(torch.promote_types(dtype, torch.float32))
    factors = factors.expand(len(part), -1, -1)
    if scale is not None:
        factors = factors * scale[part.start : part.stop, None, None]
    terms = [factors.to(dtype)]
    if dtype.itemsize == 2:  # which can't hold them, but as the sum of two
        terms.append((factors - terms[0]).to(dtype))
    matrices = torch.cat(terms, 2)

    def transform(numbers: Sequence[int], _: Tensor) -> None:
        for some in parts(range(numbers[0], numbers[-1] + 1), at_once):
            own = slice(some.start - part.start, some.stop - part.start)
            taps = weight[some.start : some.stop].permute(0, 2, 3, 1).to(dtype)
            taps = taps.reshape(-1, 1, 9, channels).expand(-1, len(terms), -1, -1)
            # A product a filter: half of the time of one for all, whose matrix is much wider. It is
            # written where it is used: what one core writes and another one reads takes long.
            torch.bmm(matrices[own], taps.flatten(1, 2), out=out[:, own].transpose(0, 1))

    at_once = cached(dtype) // (matrices.shape[2] * channels * dtype.itemsize)
    share(transform, part, dtype, out)
