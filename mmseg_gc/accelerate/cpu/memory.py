"""What the C library keeps for itself."""

import ctypes
from functools import cache
from typing import Any

# Parameters of glibc's mallopt, and bytes.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
KEPT = 64 << 20
MAP = 4 << 20


def give_back_memory() -> None:
    """Hand memory that is free to the system; glibc would keep it."""
    trim = getattr(_library(), "malloc_trim", None)
    if trim is not None:
        trim(0)


def give_back_maps() -> None:
    """From now on, let each feature map go to the system when it is free.

    By itself glibc comes to keep pieces of up to 32 MiB for others, among which what is larger than
    any of them finds no room: a tenth of all memory.
    """
    set_option = getattr(_library(), "mallopt", None)
    if set_option is not None:
        set_option(MMAP_THRESHOLD, MAP)
        set_option(TRIM_THRESHOLD, KEPT)


@cache
def _library() -> Any:
    return ctypes.CDLL(None)
