"""Arrays and scalars of numpy as pickles hold them, of plain numbers and text alone."""

import math
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np

# No objects, no structures, no dates: a kind and a size.
PLAIN = re.compile(r"[<|=]?(?:b1|[iu][1248]|f(?:2|4|8|16)|c(?:8|16|32)|[SU]\d{1,6}|\?)")
ARRAY = object()  # stands for the class `numpy.ndarray`, which is only named


def _dtype(code: str, align: bool = False, copy: bool = False) -> np.dtype:
    if not isinstance(code, str) or not PLAIN.fullmatch(code):
        raise pickle.UnpicklingError(f"an array of {code!r}")
    return np.dtype(code)


def check_dtype_state(state: object) -> None:
    """What follows the code of a dtype: here the byte order, which has to be this machine's."""
    if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", "|", "="):
        raise pickle.UnpicklingError("an array of another byte order")
    if any(part is not None for part in state[2:5]):
        raise pickle.UnpicklingError("an array of structures")


def _reconstruct(kind: object, shape: tuple, code: bytes) -> np.ndarray:
    """An empty array: what it holds comes as its state."""
    if kind is not ARRAY:
        raise pickle.UnpicklingError("an array of another class")
    return np.empty(0, np.uint8)


def fill_array(array: np.ndarray, state: Any) -> None:
    if not isinstance(state, tuple) or len(state) != 5:
        raise pickle.UnpicklingError("an array without its content")
    _, shape, dtype, column_major, content = state
    if isinstance(content, str):  # of Python 2
        content = content.encode("latin1")
    _require_plain(dtype, content)
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise pickle.UnpicklingError("an array of no shape")
    if len(shape) > 32 or math.prod(shape) * dtype.itemsize != len(content):
        raise pickle.UnpicklingError("an array of another size than its content")
    known: Any = (1, shape, dtype, bool(column_major), content)
    array.__setstate__(known)


def _scalar(dtype: np.dtype, content: bytes) -> Any:
    if isinstance(content, str):
        content = content.encode("latin1")
    _require_plain(dtype, content)
    if len(content) != dtype.itemsize:
        raise pickle.UnpicklingError("a number of another size")
    return np.frombuffer(content, dtype)[0]


def _require_plain(dtype: object, content: object) -> None:
    if not isinstance(dtype, np.dtype) or dtype.itemsize == 0 or not isinstance(content, bytes):
        raise pickle.UnpicklingError("an array of no numbers")


# numpy 1 and 2 name the same functions differently.
FUNCTIONS: dict[str, Callable] = {
    "numpy.dtype": _dtype,
    **{f"numpy.{core}.multiarray.scalar": _scalar for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray._reconstruct": _reconstruct for core in ("core", "_core")},
}
VALUES = {"numpy.ndarray": ARRAY}
