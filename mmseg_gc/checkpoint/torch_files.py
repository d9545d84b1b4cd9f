"""The two containers of torch: zip archives since 1.6, and pickles one after another before."""

import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from mmseg_gc.checkpoint.tensor_pickles import Storage, StorageKind, UnusableError
from mmseg_gc.checkpoint.unpickler import RestrictedUnpickler

ZIP = b"PK\x03\x04"
MAGIC_NUMBER, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
CHUNK_BYTES = 1 << 24


class CutOffError(EOFError):
    """There are fewer bytes than the file says."""


def read_torch_file(path: Path, device: str | torch.device) -> object:
    """What `torch.save` wrote to ``path``, with its tensors on ``device``.

    A damaged file can raise any exception.

    Raises:
        RefusedError: it could run code.
        UnusableError: it holds what no weights are.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        is_zip = file.read(len(ZIP)) == ZIP
        file.seek(0)
        return (_read_zip if is_zip else _read_pickles)(file, size, torch.device(device))


def _read_zip(file: BinaryIO, size: int, device: torch.device) -> object:
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        # torch compresses nothing: what is larger unpacked is made to fill the memory.
        if sum(entry.file_size for entry in archive.infolist()) > size:
            raise UnusableError("more than its own size")
        [root] = [name[: -len("data.pkl")] for name in entries if name.endswith("/data.pkl")]
        if f"{root}constants.pkl" in entries:
            raise UnusableError("a TorchScript program")
        if f"{root}byteorder" in entries and archive.read(f"{root}byteorder") != b"little":
            raise UnusableError("numbers of another byte order")
        loaded: dict[str, Storage] = {}

        def load_storage(kind: StorageKind, key: str, location: str, numel: int) -> Storage:
            if key not in loaded:
                entry = entries[f"{root}data/{key}"]
                data = _empty(kind, numel, entry.file_size, device)
                if data.numel() != entry.file_size:
                    raise CutOffError
                with archive.open(entry) as stored:
                    _fill(data, stored.read)
                    if stored.read(1):  # at the end the sum of the content is compared
                        raise CutOffError
                loaded[key] = Storage(data, kind.dtype)
            return loaded[key]

        content = BytesIO(archive.read(f"{root}data.pkl"))
        return RestrictedUnpickler(content, load_storage).load()


def _read_pickles(file: BinaryIO, size: int, device: torch.device) -> object:
    if RestrictedUnpickler(file).load() != MAGIC_NUMBER:
        raise pickle.UnpicklingError("another magic number")
    if RestrictedUnpickler(file).load() != PROTOCOL:
        raise pickle.UnpicklingError("another protocol")
    RestrictedUnpickler(file).load()  # sizes of C's types on the writer's machine
    storages: dict[str, tuple[Storage, int]] = {}
    left = size

    def load_storage(
        kind: StorageKind, key: str, location: str, numel: int, view: tuple | None = None
    ) -> Storage:
        nonlocal left
        if key not in storages:
            data = _empty(kind, numel, left, device)
            left -= data.numel()
            storages[key] = Storage(data, kind.dtype), numel
        storage = storages[key][0]
        if view is None:
            return storage
        _, offset, length = view
        first, last = offset * kind.itemsize, (offset + length) * kind.itemsize
        if not 0 <= first <= last <= storage.data.numel():
            raise CutOffError
        return Storage(storage.data[first:last], storage.dtype)

    content = RestrictedUnpickler(file, load_storage).load()
    for key in RestrictedUnpickler(file).load():
        storage, numel = storages.pop(key)
        if struct.unpack("<q", file.read(8)) != (numel,):
            raise CutOffError
        _fill(storage.data, file.read)
    if storages:
        raise CutOffError
    return content


def _empty(kind: StorageKind, numel: int, limit: int, device: torch.device) -> Tensor:
    """Bytes for ``numel`` numbers, if there can be so many."""
    if not isinstance(kind, StorageKind) or type(numel) is not int:
        raise pickle.UnpicklingError("a storage of no kind or size")
    if not 0 <= numel * kind.itemsize <= limit:
        raise CutOffError
    return torch.empty(numel * kind.itemsize, dtype=torch.uint8, device=device)


def _fill(data: Tensor, read: Callable[[int], bytes]) -> None:
    target = data if data.device.type == "cpu" else torch.empty(data.shape, dtype=torch.uint8)
    view, done = memoryview(target.numpy().data), 0
    while done < len(view):
        chunk = read(min(CHUNK_BYTES, len(view) - done))
        if not chunk:
            raise CutOffError
        view[done : done + len(chunk)] = chunk
        done += len(chunk)
    if target is not data:
        data.copy_(target)
