"""What follows from the weights of convolutions, kept from call to call until those change."""

import math
from collections.abc import Callable, Hashable
from threading import Lock
from typing import NamedTuple, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from mmseg_gc.accelerate.kernels import Kernels

Made = TypeVar("Made", bound=tuple[Tensor | None, ...])
SMALL = 16 << 10  # bytes that are compared one by one


class _Kept(NamedTuple):
    state: list
    num_bytes: int
    made: tuple[Tensor | None, ...]


class Derived:
    """Tensors that follow from kernels, of ``max_bytes`` in all.

    Kernels change with their tensors, or with the numbers in these. Of numbers written through
    ``tensor.data`` torch keeps no count: on a CPU a look at sums of them tells, on other devices
    nothing does. What is kept is never part of a module: copied, saved and moved are the weights
    alone.
    """

    def __init__(self, max_bytes: float = math.inf) -> None:
        self.max_bytes = max_bytes
        self._of_conv: WeakKeyDictionary[nn.Module, dict] = WeakKeyDictionary()
        self._lock = Lock()  # views of an image may go through a model in two threads

    def get(
        self,
        kernels: list[Kernels],
        make: Callable[[], Made],
        *,
        num_bytes: int = 0,
        use: Hashable = None,
        unkept: Callable[[], Made] | None = None,
    ) -> Made:
        """What ``make`` makes for a ``use``; what ``unkept`` does where ``num_bytes`` find no room.

        Without ``unkept`` that is ``make``'s as well.
        """
        key = (use, *((id(one.conv), one.first, one.last, one.with_bias) for one in kernels))
        with self._lock:
            of_conv = self._of_conv.setdefault(kernels[0].conv, {})
            kept = of_conv.get(key)
            if kept is None and self._held() + num_bytes > self.max_bytes:
                return (unkept or make)()
        state = [[one.eps, *map(_state, one.sources())] for one in kernels]
        if kept is not None and kept.state == state:
            return kept.made
        kept = None
        with self._lock:
            of_conv.pop(key, None)  # before the new one, not beside it
        made = make()
        with self._lock:
            of_conv[key] = _Kept(state, num_bytes, made)
        return made

    def _held(self) -> int:
        return sum(kept.num_bytes for all_of in self._of_conv.values() for kept in all_of.values())


def has_numbers(tensor: Tensor) -> bool:
    """Whether ``tensor`` is torch's own, and no tracer's: none that only tells its shape."""
    return type(tensor) in (Tensor, nn.Parameter) and _address(tensor) is not None


def _address(tensor: Tensor) -> int | None:
    try:
        return tensor.data_ptr()
    except RuntimeError:
        return None


def _state(tensor: Tensor) -> tuple:
    """What tells whether ``tensor`` is still the same, without each of its numbers."""
    version = None if tensor.is_inference() else tensor._version
    address = _address(tensor)
    looked = tensor.device.type == "cpu" and address is not None
    numbers = _digest(tensor.detach()) if looked else None
    return id(tensor), address, version, tensor.dtype, tensor.device, numbers


def _digest(tensor: Tensor) -> bytes:
    """The bytes of few numbers; of many, sums of their bits along both sides, some at a time.

    Sums along one side alone would miss numbers that change places along it.
    """
    if tensor.dim() == 4:
        tensor = tensor.permute(0, 2, 3, 1)  # as they lie in memory, channels last
    rows = tensor.reshape(len(tensor) if tensor.dim() else 1, -1)
    if rows.nbytes <= SMALL:
        return rows.view(torch.uint8).numpy().tobytes()
    whole = rows.shape[1] * rows.element_size() % 8 == 0
    bits = rows.view(torch.int64 if whole else torch.uint8)
    return b"".join(bits.sum(side).numpy().tobytes() for side in (0, 1))
