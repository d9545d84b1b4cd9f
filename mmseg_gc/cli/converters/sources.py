"""What a converter reads: the files of a folder, a zip or a tar archive, all in one manner."""

import functools
import io
import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from mmseg_gc.errors import UserError


@dataclass(frozen=True)
class Member:
    """One regular file of a folder or archive; ``name`` is its POSIX path in there."""

    name: str
    size: int
    source: Path  # the file itself, or the archive that holds it
    entry: str = ""  # its name as the archive spells it
    crc: int | None = None
    offset: int | None = None  # of its bytes in a plain tar
    content: bytes | None = None  # filled in while a compressed tar streams by

    def read(self) -> bytes:
        """Its bytes.

        Raises:
            UserError: if the archive is damaged there.
        """
        if self.content is not None:
            return self.content
        if self.crc is not None:
            try:
                return _zip(self.source, os.getpid()).read(self.entry)
            except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
                raise UserError(
                    f"{self} is damaged ({error}): download the archive again."
                ) from None
        with open(self.source, "rb") as file:
            file.seek(self.offset or 0)
            return file.read(self.size)  # -1 reads it all

    @classmethod
    def at(cls, path: Path) -> "Member":
        """A file outside of archives, which may still have to be written."""
        return cls(path.name, -1, path)

    def __str__(self) -> str:
        return f"{self.source}:{self.name}" if self.entry else str(self.source)


@dataclass(frozen=True)
class Task:
    """Make the file ``target`` out of ``member``."""

    member: Member
    target: Path

    def is_in_place(self) -> bool:
        """Whether the member is the target."""
        source = self.member.source
        return not self.member.entry and self.target.exists() and self.target.samefile(source)


def open_source(path: Path) -> list[Member]:
    """Every regular file of a folder, a zip or a tar archive, in its order, hidden ones left out.

    Raises:
        UserError: if there is no such source, it can't be read, or a path in it leads out of it.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist: give the folder or archive that you downloaded.")
    if path.is_dir():
        members = list(_walk(path))
    elif zipfile.is_zipfile(path):
        members = list(_zip_members(path))
    else:
        members = list(_tar_members(path))
    return [member for member in members if not PurePosixPath(member.name).name.startswith(".")]


def _walk(root: Path) -> Iterator[Member]:
    for folder, subfolders, names in os.walk(root, followlinks=True):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file():
                yield Member(path.relative_to(root).as_posix(), path.stat().st_size, path)


@functools.lru_cache(maxsize=4)
def _zip(path: Path, process: int) -> zipfile.ZipFile:  # processes must not share a file position
    return zipfile.ZipFile(path)


def _zip_members(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if stat.S_ISLNK(info.external_attr >> 16):
                raise UserError(f"{path} holds the link {info.filename}: unpack it by hand.")
            name = _safe_name(path, info.filename)
            if not info.is_dir():
                yield Member(name, info.file_size, path, info.filename, crc=info.CRC)


def _tar_members(path: Path) -> Iterator[Member]:
    try:
        with tarfile.open(path) as archive:
            plain = isinstance(archive.fileobj, io.BufferedReader)
            for info in archive:
                if info.issym() or info.islnk():
                    raise UserError(f"{path} holds the link {info.name}: unpack it by hand.")
                name = _safe_name(path, info.name)
                if info.isfile():
                    offset = info.offset_data if plain else None
                    yield Member(name, info.size, path, info.name, offset=offset)
        if plain and _tail(path).strip(b"\0"):
            raise EOFError("its closing blocks are missing")
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"{path} is no zip or tar archive, or a truncated one ({reason}): download it again."
        ) from None


def stream(tasks: list[Task]) -> Iterator[Task]:
    """The tasks, with contents for members of compressed tars, which read well in order only."""
    waiting = {}
    for task in tasks:
        if task.member.entry and task.member.crc is None and task.member.offset is None:
            waiting.setdefault(task.member.source, {})[task.member.entry] = task
        else:
            yield task
    for path, wanted in waiting.items():
        with tarfile.open(path) as archive:
            for info in archive:
                if task := wanted.pop(info.name, None):
                    content = archive.extractfile(info).read()
                    yield replace(task, member=replace(task.member, content=content))
                if not wanted:
                    break


def _tail(path: Path) -> bytes:
    with open(path, "rb") as file:
        file.seek(-512, os.SEEK_END)
        return file.read()


def _safe_name(archive: Path, name: str) -> str:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name):
        raise UserError(f"{archive} holds {name}, which leads out of the target: don't trust it.")
    return path.as_posix()


def choose(
    sources: list[Path], pattern: str, what: str, default: str, out_dir: Path | None
) -> tuple[dict[str, Member], Path]:
    """The members whose name ends in a match of ``pattern``, by that match, and the data_root.

    The data_root is ``out_dir``; without it, the place inside a source folder where the matches
    begin, or ``default`` for archives.

    Raises:
        UserError: if nothing matches or two files match alike.
    """
    chosen: dict[str, Member] = {}
    root = out_dir
    for source in sources:
        for member in open_source(source):
            match = re.search(rf"(?:^|/)({pattern})$", member.name)
            if match is None:
                continue
            if match[1] in chosen:
                raise UserError(
                    f"{chosen[match[1]]} and {member} are the same file twice: give one."
                )
            chosen[match[1]] = member
            if root is None and source.is_dir():
                root = source / member.name[: match.start(1)]
    if not chosen:
        names = " and ".join(map(str, sources))
        raise UserError(f"{names} has nothing to convert: {what} is missing.")
    return chosen, root or Path(default)
