"""What the C library keeps for itself."""

import ctypes


def give_back_memory() -> None:
    """Hand memory that is free to the system; glibc would keep it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
