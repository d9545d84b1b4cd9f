"""What the C library keeps for itself."""

import ctypes
from collections.abc import Callable
from functools import cache


def give_back_memory() -> None:
    """Hand memory that is free to the system; glibc would keep it."""
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
