"""What zip and tar archives hold; damage and malice end in one sentence, nothing written."""

import functools
import io
import os
import re
import stat
import tarfile
import zipfile
from collections.abc import Container, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Self, TypeVar

from mmseg_gc.errors import UserError

Info = TypeVar("Info", bound=tarfile.TarInfo)

MAX_MEMBERS = 500_000
# An archive may unpack to so much, or to so many times its own size if that is more. Images hardly
# shrink in archives, labels and polygons do.
MAX_UNPACKED_BYTES, MAX_RATIO = 2 << 30, 100
# Names and notes before a tar's member. Python 3.11 searches them in a time that grows with the
# square of their length.
MAX_NOTE_BYTES = 16 << 10
NOTES = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
CHUNK_BYTES = 1 << 20


class Entry(NamedTuple):
    """One regular file; ``name`` is its POSIX path, ``spelled`` that as the archive has it."""

    name: str
    size: int
    spelled: str
    crc: int | None = None  # of a zip's member
    offset: int | None = None  # of its bytes in a plain tar


def entries_of(path: Path) -> list[Entry]:
    """Every regular file of a zip or tar archive, in its order.

    A compressed tar is read to its end, where its checksum is.

    Raises:
        UserError: it is no whole archive, holds anything but files and folders, a path in it leads
            out of it, or it would unpack to far more than its size.
    """
    try:
        with open(path, "rb") as file:
            is_zip = file.read(2) == b"PK"
        return list(_zip_entries(path) if is_zip else _tar_entries(path))
    except UserError:
        raise
    except PermissionError as error:
        raise UserError(f"{path} can't be read ({error.strerror}): mend its rights.") from None
    except Exception as error:  # parsers raise what they happen to raise
        raise UserError(
            f"{path} is no zip or tar archive, or a truncated or damaged one ({_reason(error)}): "
            "download it again."
        ) from None


def read_zip(path: Path, spelled: str, size: int) -> bytes:
    """The ``size`` bytes of a zip's member, compared with their checksum.

    Raises:
        UserError: they are damaged.
    """
    try:
        with _zip(path, os.getpid(), path.stat().st_mtime_ns).open(spelled) as file:
            return file.read(size) if size else b""
    except Exception as error:
        raise UserError(
            f"{path}:{spelled} is damaged ({_reason(error)}): download the archive again."
        ) from None


def read_compressed_tar(path: Path, wanted: Container[str]) -> Iterator[tuple[str, bytes]]:
    """Name and content of the members whose spelled names are ``wanted``, in their order.

    Raises:
        UserError: the archive is not what `entries_of` has seen.
    """
    try:
        with _open_tar(path) as archive:
            for info in _tar_infos(archive):
                if info.name in wanted:
                    file = archive.extractfile(info)
                    assert file is not None  # it's no folder
                    yield info.name, file.read()
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{path} changed while it was read ({_reason(error)}): run again."
        ) from None


# Processes must not share a file's position, and another file may come under the same name.
@functools.lru_cache(maxsize=4)
def _zip(path: Path, process: int, mtime_ns: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)


def _zip_entries(path: Path) -> Iterator[Entry]:
    budget = _Budget(path)
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name = _safe_name(path, info.filename)
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                _refuse(path, info.filename, "link" if kind == stat.S_IFLNK else "special file")
            if info.flag_bits & 1:
                raise UserError(f"{path} is locked by a password: unpack it by hand.")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise UserError(
                    f"{path}:{info.filename} is compressed in the manner {info.compress_type}, "
                    "which isn't read here: unpack it by hand."
                )
            budget.take(info.file_size)
            archive.open(info).close()  # compares its name with that beside its bytes
            if not info.is_dir():
                yield Entry(name, info.file_size, info.filename, crc=info.CRC)


def _tar_entries(path: Path) -> Iterator[Entry]:
    budget = _Budget(path)
    with _open_tar(path) as archive:
        plain = isinstance(archive.fileobj, io.BufferedReader)
        for info in _tar_infos(archive):
            name = _safe_name(path, info.name)
            if info.issym() or info.islnk():
                _refuse(path, info.name, "link")
            if not (info.isfile() or info.isdir()) or info.issparse():
                _refuse(path, info.name, "special file")
            budget.take(info.size)
            if info.isfile():
                offset = info.offset_data if plain else None
                yield Entry(name, info.size, info.name, offset=offset)
        while chunk := archive.fileobj.read(CHUNK_BYTES):
            budget.take(len(chunk))
            if chunk.count(0) != len(chunk):
                raise tarfile.ReadError("something follows its end")


class _Header(tarfile.TarInfo):
    """A tar's header; the first that is wrong ends the reading, which else would end in silence."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            info = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if len(buf) == tarfile.BLOCKSIZE and not any(buf):  # the block that closes it
                raise
            raise tarfile.ReadError(
                str(error) if buf else "its closing blocks are missing"
            ) from None
        if info.type in NOTES and info.size > MAX_NOTE_BYTES:
            raise tarfile.ReadError(f"a header of {info.size} bytes")
        return _of_possible_size(info)


def _of_possible_size(info: Info) -> Info:
    if info.size < 0:  # the next header would lie before this one
        raise tarfile.ReadError(f"{info.name} of {info.size} bytes")
    return info


def _open_tar(path: Path) -> tarfile.TarFile:
    return tarfile.open(path, tarinfo=_Header)


def _tar_infos(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (info := archive.next()) is not None:
        # It would keep them all.
        archive.members.clear()  # type: ignore[attr-defined]  # stubs lack it
        yield _of_possible_size(info)  # a note may have set another


class _Budget:
    """What an archive may unpack to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.num_members = 0
        self.left = max(MAX_UNPACKED_BYTES, MAX_RATIO * path.stat().st_size)

    def take(self, size: int) -> None:
        self.num_members += 1
        self.left -= size
        if self.left < 0 or self.num_members > MAX_MEMBERS:
            raise UserError(
                f"{self.path} claims to hold far more than a data set of its size: don't trust "
                "it, or unpack it by hand."
            )


def _refuse(path: Path, name: str, kind: str) -> None:
    raise UserError(f"{path} holds the {kind} {name}: unpack it by hand.")


def _safe_name(archive: Path, name: str) -> str:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name):
        raise UserError(f"{archive} holds {name}, which leads out of the target: don't trust it.")
    return path.as_posix()


def _reason(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(":") or type(error).__name__
