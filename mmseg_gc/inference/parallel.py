"""Two pieces of work at a time on one processor."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def two_at_once(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """``function`` of each item in inference mode, each on half of the threads that torch uses.

    A network keeps all cores busy for most of its time only: between two layers, and in small ones,
    half of them wait. What runs at the same time must be held in memory at the same time.
    """
    threads = torch.get_num_threads()
    if threads < 2 or len(items) < 2 or _cores() < threads:
        with torch.inference_mode():
            return [function(item) for item in items]

    def run(item: Item) -> Result:
        torch.set_num_threads(threads // 2)  # a setting of this thread and of those that follow
        with torch.inference_mode():
            return function(item)

    try:
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(run, items))
    finally:
        torch.set_num_threads(threads)


def _cores() -> int:
    """That a new thread may run on: with OMP_PROC_BIND, those of this thread are only one."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
