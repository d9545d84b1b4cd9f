"""Memory that layers work in one after the other."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

# A kept buffer may be so many times as large as what is asked for, or of so many bytes.
TIMES_AS_LARGE = 1.5
SMALL = 200 << 20

_idle: list[Tensor] = []  # as many as were needed at one time, by several threads


@contextmanager
def scratch(count: int, like: Tensor) -> Iterator[Tensor]:
    """A flat tensor of ``count`` numbers of ``like``'s type, whatever they are, on its device.

    On a CPU it is kept for the next: fresh memory costs more than the arithmetic done in it here,
    since the system clears every page. What is far larger than the next needs is let go: layers
    of one width follow each other. On a GPU torch's allocator keeps it anyway.
    """
    if like.device.type != "cpu":
        yield like.new_empty(count)
        return
    wanted = count * like.element_size()
    try:  # without looking first: another thread may take the last one in between
        buffer = _idle.pop()
    except IndexError:
        buffer = torch.empty(0, dtype=torch.uint8)
    if not wanted <= len(buffer) <= max(TIMES_AS_LARGE * wanted, SMALL):
        del buffer  # before the larger one, not beside it
        with torch.inference_mode(False):  # or the next one could not write to it outside
            # Pages that nobody writes to take no memory, and the next layer may want them.
            buffer = torch.empty(max(wanted, SMALL), dtype=torch.uint8)
    try:
        yield buffer[:wanted].view(like.dtype)
    finally:
        _idle.append(buffer)
