"""What a GPU would have done: launches, waits of the host, copies, layouts, memory."""

import sys
import weakref
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).parents[2]
TRANSPARENT = (str(Path(torch.__file__).parent), *map(str, Path(__file__).parent.glob("*.py")))


@dataclass(frozen=True)
class Place:
    """Where in the code: a function's qualified name, and ``file:line`` for whoever mends it."""

    function: str
    line: str

    @classmethod
    def here(cls) -> "Place":
        """The innermost frame that is neither torch's nor the fake GPU's."""
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_code.co_filename.startswith(TRANSPARENT):
            frame = frame.f_back
        path = frame.f_code.co_filename.split("site-packages/")[-1].removeprefix(f"{ROOT}/")
        return cls(frame.f_code.co_qualname, f"{path}:{frame.f_lineno}")


@dataclass(frozen=True)
class Wait:
    """The host stood still until the GPU had done all it was given."""

    op: str
    place: Place


@dataclass(frozen=True)
class Copy:
    """``size`` bytes between host and GPU; ``pinned`` is of the host's side."""

    to_gpu: bool
    size: int
    blocking: bool
    pinned: bool
    place: Place


@dataclass(frozen=True)
class Convolution:
    """One convolution, or one of its backward passes, as it was handed to cuDNN."""

    op: str
    weight: torch.Size
    dtype: torch.dtype
    channels_last: bool


@dataclass
class Record:
    """All that happened on the fake GPU while this was open."""

    launches: Counter[str] = field(default_factory=Counter)
    moved: Counter[str] = field(default_factory=Counter)  # bytes read and written, by op
    waits: list[Wait] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)
    convolutions: list[Convolution] = field(default_factory=list)
    peak: int = 0  # bytes alive at one time, beyond those alive at the start

    @property
    def blocking_copies(self) -> list[Copy]:
        return [copy for copy in self.copies if copy.blocking]


class Memory:
    """Bytes of the storages that are alive on the fake GPU."""

    def __init__(self) -> None:
        self.live = 0
        self._sizes: dict[int, int] = {}

    def note(self, tensors: Iterable[Tensor]) -> None:
        """Count the storages of ``tensors`` until they are freed."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            key = storage._cdata
            if key not in self._sizes:
                self._sizes[key] = storage.nbytes()
                self.live += self._sizes[key]
                weakref.finalize(storage, self._free, key)

    def _free(self, key: int) -> None:
        self.live -= self._sizes.pop(key)


def nbytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
