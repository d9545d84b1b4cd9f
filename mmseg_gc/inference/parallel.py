"""Two pieces of work at a time on one processor."""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def two_at_once(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """``function`` of each item in inference mode, each on half of the threads that torch uses.

    A network keeps all cores busy for most of its time only: between two layers, and in small ones,
    half of them wait. One thread takes from the front, the other from the back: of items that come
    by their size the two largest are never held in memory at the same time.
    """
    threads = torch.get_num_threads()
    if threads < 2 or len(items) < 2 or _cores() < threads:
        with torch.inference_mode():
            return [function(item) for item in items]

    left = deque(range(len(items)))
    results: dict[int, Result] = {}

    def run(take: Callable[[], int]) -> None:
        torch.set_num_threads(threads // 2)  # a setting of this thread and of those that follow
        with torch.inference_mode():
            while left:
                try:
                    number = take()
                except IndexError:  # the other thread was first
                    return
                try:
                    results[number] = function(items[number])
                except BaseException:
                    left.clear()
                    raise

    try:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(run, (left.popleft, left.pop)))
        return [results[number] for number in range(len(items))]
    finally:
        torch.set_num_threads(threads)


def _cores() -> int:
    """That a new thread may run on: with OMP_PROC_BIND, those of this thread are only one."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
