"""Two halves of some work at a time on one processor."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

Item = TypeVar("Item")


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


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(2)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # where there are no such threads


def _cores() -> int:
    """That a new thread may run on: with OMP_PROC_BIND, those of this thread are only one."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
