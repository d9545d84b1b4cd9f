"""Tensors as pickles hold them: a view each of a storage whose bytes lie elsewhere in the file."""

import math
import pickle
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}
DTYPES = tuple(STORAGES.values())
UNTYPED = "UntypedStorage"
# An expanded tensor may be larger than what it shows; not so large that this fills the memory.
MAX_REPEATED = 1 << 24


class UnusableError(pickle.UnpicklingError):
    """A file holds what no weights here are; the message says what."""


class Storage(NamedTuple):
    """Bytes (uint8, flat) and the dtype of what they are, None if the tensor has to say it."""

    data: Tensor
    dtype: torch.dtype | None


class StorageKind(NamedTuple):
    """A class of storages, as a pickle names it."""

    dtype: torch.dtype | None

    @property
    def itemsize(self) -> int:
        return 1 if self.dtype is None else self.dtype.itemsize


def _tensor(
    storage: Storage, offset: int, size: tuple, stride: tuple, *_: object, dtype=None
) -> Tensor:
    if not isinstance(storage, Storage):
        raise pickle.UnpicklingError("a tensor without a storage")
    dtype = dtype or storage.dtype
    numbers = (offset, *size, *stride)
    if dtype not in DTYPES or not all(type(n) is int and 0 <= n < 1 << 48 for n in numbers):
        raise pickle.UnpicklingError("a tensor of no dtype, size or stride")
    if len(size) != len(stride):
        raise pickle.UnpicklingError("a tensor with a stride of another length than its size")
    stored, numel = storage.data.numel() // dtype.itemsize, math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if numel and (last >= stored or numel > max(stored, MAX_REPEATED)):
        raise pickle.UnpicklingError("a tensor that is larger than its storage")
    empty = torch.empty(0, dtype=dtype, device=storage.data.device)
    if numel == 0:
        return empty.reshape(tuple(size))
    return empty.set_(storage.data.untyped_storage(), _first(storage, dtype) + offset, size, stride)


def _first(storage: Storage, dtype: torch.dtype) -> int:
    """Where a view of a storage begins, in elements."""
    first, rest = divmod(int(storage.data.storage_offset()), dtype.itemsize)
    if rest:
        raise pickle.UnpicklingError("a storage that begins within a number")
    return first


def _tensor_v3(
    storage: Storage,
    offset: int,
    size: tuple,
    stride: tuple,
    requires_grad: bool,
    hooks: object,
    dtype: torch.dtype,
    *_: object,
) -> Tensor:
    return _tensor(storage, offset, size, stride, dtype=dtype)


def _parameter(data: Tensor, *_: object) -> Tensor:
    """The tensor itself: whether it's trained is the model's to say."""
    if not isinstance(data, Tensor):
        raise pickle.UnpicklingError("a parameter without a tensor")
    return data


def _from_type(build: object, kind: object, args: tuple, state: object) -> Tensor:
    """A tensor with attributes, without these."""
    call = getattr(build, "call", None)
    if kind is not TENSOR or call not in (_tensor, _tensor_v3, _parameter):
        raise UnusableError("tensors of a class of their own")
    return call(*args)


TENSOR = object()  # stands for torch's two classes, which are only named
FUNCTIONS: dict[str, Callable] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _from_type,
}
VALUES: dict[str, object] = {
    "torch.Tensor": TENSOR,
    "torch.nn.parameter.Parameter": TENSOR,
    "torch.storage.UntypedStorage": StorageKind(None),
    "torch.UntypedStorage": StorageKind(None),
    **{f"torch.{name}": StorageKind(dtype) for name, dtype in STORAGES.items()},
    **{str(dtype): dtype for dtype in DTYPES},
}
UNUSABLE = {
    **{
        f"torch._utils.{function}": f"{kind} tensors"
        for function, kind in {
            "_rebuild_sparse_tensor": "sparse",
            "_rebuild_sparse_csr_tensor": "sparse",
            "_rebuild_nested_tensor": "nested",
            "_rebuild_qtensor": "quantised",
            "_rebuild_meta_tensor_no_storage": "empty (meta)",
            "_rebuild_device_tensor_from_numpy": "foreign",
            "_rebuild_device_tensor_from_cpu_tensor": "foreign",
            "_rebuild_wrapper_subclass": "foreign",
        }.items()
    },
    **{
        f"torch.{name}": "quantised tensors"
        for name in (
            "QInt8Storage", "QUInt8Storage", "QInt32Storage", "QUInt4x2Storage", "QUInt2x4Storage",
            "per_tensor_affine", "per_tensor_symmetric", "per_channel_affine",
            "per_channel_symmetric", "per_channel_affine_float_qparams",
        )
    },
    **{
        f"torch.{name}": "tensors of eight bits or fewer"
        for name in dir(torch)
        if name.startswith("float8") or name.startswith("float4")
    },
    "torch.serialization._get_layout": "sparse tensors",
}  # fmt: skip
