"""Two halves of some work at a time on one processor."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor

Item = TypeVar("Item")
HALVES = 2
PARALLEL = 1 << 16  # numbers that all of torch's threads fill together


def in_halves(function: Callable[[Sequence[Item]], object], items: Sequence[Item]) -> None:
    """``function`` of two halves of ``items`` in inference mode, on half of torch's threads each.

    torch gives each operation to all threads by itself. Many small ones in a row, such as copies
    and narrow products, gain nothing from that: half of the cores wait.
    """
    threads, middle = torch.get_num_threads(), len(items) // 2
    if threads < 2 or middle == 0 or _cores() < threads:
        with torch.inference_mode():
            function(items)
        return

    def run(half: Sequence[Item]) -> bool:
        is_new = torch.get_num_threads() != threads // 2
        if is_new:
            # An idle thread of OpenMP keeps a core busy for some milliseconds, in wait of more to
            # do, unless OpenMP knows of more threads than there are cores. So it is shown more.
            torch.zeros(PARALLEL)
            torch.set_num_threads(threads // 2)  # of this thread and of those that start later
        with torch.inference_mode():
            function(half)
        return is_new

    try:
        if any(list(_pool().map(run, (items[:middle], items[middle:])))):
            torch.set_num_threads(threads)
    except BaseException:
        torch.set_num_threads(threads)
        raise


def share(
    work: Callable[[Sequence[Any], Tensor], None],
    items: Sequence[Any],
    dtype: torch.dtype,
    room: Tensor,
) -> None:
    """``work`` on all of ``items``, in ``room``: in float32 by two threads, each in one half of it.

    An R50 at 512x1024 takes less time by that; in bfloat16 it takes more.
    """
    middle = -(-len(items) // HALVES)
    shares = zip((items[:middle], items[middle:]), room.chunk(HALVES), strict=True)
    if dtype is not torch.float32 or middle == len(items):
        work(items, room)
    else:

        def run(shares: Sequence[tuple[Sequence[Any], Tensor]]) -> None:
            for some, own in shares:
                work(some, own)

        in_halves(run, list(shares))


def parts(numbers: range, max_length: int, unit: int = 1) -> list[range]:
    """``numbers`` in the fewest ranges of nearly equal length: ``max_length`` at most, or one.

    Lengths but for the last one's are multiples of ``unit``, if ``max_length`` is.
    """
    count = -(-len(numbers) // max(1, max_length))
    size = -(-len(numbers) // count)
    size = min(-(-size // unit) * unit, max(1, max_length))
    return [numbers[i : i + size] for i in range(0, len(numbers), size)]


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(HALVES)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # where there are no such threads


def _cores() -> int:
    """That a new thread may run on: with OMP_PROC_BIND, those of this thread are only one."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
