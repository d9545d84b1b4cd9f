"""Unpickle plain data, arrays and tensors, and nothing that a file could run code with.

The rules belong to one call: nothing is registered for the process, and no torch or numpy function
is called with arguments that a file chose. What a pickle names stands here with a function of this
package that checks what it is given.
"""

import pickle
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from mmseg_gc.checkpoint import numpy_pickles, tensor_pickles
from mmseg_gc.checkpoint.tensor_pickles import Storage, UnusableError

# Extension codes, classes with keywords, buffers of a size that the file merely claims.
LEFT_OUT = {
    pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.NEWOBJ_EX, pickle.BYTEARRAY8,
    pickle.NEXT_BUFFER, pickle.READONLY_BUFFER, pickle.PERSID,
}  # fmt: skip
HISTORY = {"max_length", "_log_history", "_count_history"}


class RefusedError(pickle.UnpicklingError):
    """A pickle asks for something that could run code; the message is its name."""


class Callee:
    """A function that pickles may call; nothing about it can be changed from one."""

    __slots__ = ("call",)

    def __init__(self, call: Callable) -> None:
        self.call = call


class NewHistory:
    """Stands for the class `HistoryBuffer`, which is made without arguments."""

    __slots__ = ()


def _ordered_dict(items: list | tuple = ()) -> OrderedDict:
    return OrderedDict(_require(items, list, tuple))


def _counter(counts: dict | None = None) -> Counter:
    return Counter(_require({} if counts is None else counts, dict))


def _set(items: list) -> set:
    return set(_require(items, list, tuple))


def _encode(text: str, encoding: str) -> bytes:
    """How protocol 2 writes bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"bytes as {encoding!r}")
    return _require(text, str).encode("latin1")


def _no_bytes() -> bytes:
    """How protocol 2 writes none."""
    return b""


def _complex(real: float, imaginary: float) -> complex:
    return complex(_require(real, float, int), _require(imaginary, float, int))


def _history_method(owner: object, name: str) -> str:
    """Stand in for ``getattr``, which a pickled `HistoryBuffer` calls for its four methods."""
    if isinstance(owner, NewHistory) and name in ("min", "max", "mean", "current"):
        return name
    raise RefusedError(f"getattr(…, {name!r})")


def _size(sizes: tuple) -> torch.Size:
    return torch.Size(_require(sizes, tuple, list))


def _device(*_: object) -> torch.device:
    """Where a tensor was; it's read to where the reader asks."""
    return torch.device("cpu")


CALLEES: dict[str, Callable] = {
    "collections.OrderedDict": _ordered_dict,
    "collections.Counter": _counter,
    "builtins.set": _set,
    "builtins.bytes": _no_bytes,
    "builtins.complex": _complex,
    "builtins.getattr": _history_method,
    "_codecs.encode": _encode,
    "torch.Size": _size,
    "torch.device": _device,
    **numpy_pickles.FUNCTIONS,
    **tensor_pickles.FUNCTIONS,
}
VALUES: dict[str, object] = {
    "mmengine.logging.history_buffer.HistoryBuffer": NewHistory(),
    **numpy_pickles.VALUES,
    **tensor_pickles.VALUES,
}


class RestrictedUnpickler(pickle._Unpickler):
    """`pickle`'s own machine in Python, without those of its steps that act on classes.

    ``load_storage`` gets what a persistent id says after the word "storage".

    Raises:
        RefusedError: the pickle names what isn't among `CALLEES` and `VALUES`.
        UnusableError: it holds a kind of tensor that no weights here are.
    """

    dispatch = {
        code: step
        for code, step in pickle._Unpickler.dispatch.items()
        if bytes([code]) not in LEFT_OUT
    }

    def __init__(self, file: BinaryIO, load_storage: Callable[..., Storage] | None = None) -> None:
        super().__init__(file, encoding="utf-8")
        self._load_storage = load_storage

    def find_class(self, module: str, name: str) -> object:
        full = f"{'builtins' if module == '__builtin__' else module}.{name}"
        if full in CALLEES:
            return Callee(CALLEES[full])
        if full in VALUES:
            return VALUES[full]
        if full in tensor_pickles.UNUSABLE:
            raise UnusableError(tensor_pickles.UNUSABLE[full])
        raise RefusedError(full)

    def persistent_load(self, pid: object) -> Storage:
        if self._load_storage is None or not isinstance(pid, tuple) or pid[0] != "storage":
            raise pickle.UnpicklingError("a reference to no storage")
        return self._load_storage(*pid[1:])

    def _instantiate(self, klass: object, args: list) -> None:
        raise RefusedError("a class of protocol 0")

    def load_reduce(self) -> None:
        args = _require(self.stack.pop(), tuple)
        self.stack[-1] = _require(self.stack[-1], Callee).call(*args)

    def load_newobj(self) -> None:
        self.stack.pop()
        _require(self.stack[-1], NewHistory)
        self.stack[-1] = HistoryBuffer()

    def load_build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, OrderedDict):
            _keep_versions(target, state)
        elif isinstance(target, HistoryBuffer):
            _fill_history(target, state)
        elif isinstance(target, np.ndarray):
            numpy_pickles.fill_array(target, state)
        elif isinstance(target, np.dtype):
            numpy_pickles.check_dtype_state(state)
        else:
            raise pickle.UnpicklingError(f"a state for {type(target).__name__}")

    def load_setitem(self) -> None:
        _require(self.stack[-3], dict)
        super().load_setitem()

    def load_setitems(self) -> None:
        _require(self.metastack[-1][-1], dict)
        super().load_setitems()

    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.NEWOBJ[0]] = load_newobj
    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems


def _require(value: Any, *kinds: type) -> Any:
    if not isinstance(value, kinds):
        raise pickle.UnpicklingError(f"a {type(value).__name__} where {kinds[0].__name__} belongs")
    return value


def _keep_versions(weights: OrderedDict, state: Any) -> None:
    """The versions of modules, which a state dict has in an attribute."""
    versions = state.get("_metadata") if isinstance(state, Mapping) else None
    if isinstance(versions, Mapping) and all(
        isinstance(key, str) and isinstance(value, Mapping) for key, value in versions.items()
    ):
        vars(weights)["_metadata"] = versions


def _fill_history(buffer: HistoryBuffer, state: Any) -> None:
    if not _require(state, dict).keys() >= HISTORY:
        raise pickle.UnpicklingError("a history without its values")
    values = [_require(state[key], np.ndarray) for key in ("_log_history", "_count_history")]
    if values[0].shape != values[1].shape or values[0].ndim != 1:
        raise pickle.UnpicklingError("a history of another shape than its counts")
    buffer.__init__(*values, max_length=_require(state["max_length"], int))
