"""Say a thing about the data once, however many processes read it."""

import logging
import mmap
import zlib

from mmengine.logging import print_log

SLOTS = 1 << 16
# Anonymous shared memory: the forked workers of a data loader have it in common.
_said = mmap.mmap(-1, SLOTS)


def is_first(key: str) -> bool:
    """Whether this is the first call with ``key`` in this process and those forked from it."""
    slot = zlib.crc32(key.encode()) % SLOTS
    before, _said[slot] = _said[slot], 1
    return not before


def warn(message: str) -> None:
    """Log ``message`` as a warning where the run logs."""
    print_log(message, logger="current", level=logging.WARNING)
