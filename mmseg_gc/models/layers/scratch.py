"""Memory that layers work in one after the other."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_idle: list[Tensor] = []  # as many as were needed at one time, by several threads


@contextmanager
def scratch(count: int, like: Tensor) -> Iterator[Tensor]:
    """A flat tensor of ``count`` numbers of ``like``'s type, whatever they are; kept for the next.

    Fresh memory costs more than the arithmetic done in it here: the system clears every page.
    """
    wanted = count * like.element_size()
    try:  # without looking first: another thread may take the last one in between
        buffer = _idle.pop()
    except IndexError:
        buffer = torch.empty(0, dtype=torch.uint8)
    if len(buffer) < wanted:
        del buffer  # before the larger one, not beside it
        with torch.inference_mode(False):  # or the next one could not write to it outside
            buffer = torch.empty(wanted, dtype=torch.uint8)
    try:
        yield buffer[:wanted].view(like.dtype)
    finally:
        _idle.append(buffer)
