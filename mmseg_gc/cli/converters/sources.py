"""What a converter reads: the files of a folder, a zip or a tar archive, all in one manner."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from mmseg_gc.cli.converters.archives import entries_of, read_compressed_tar, read_zip
from mmseg_gc.errors import UserError

MAX_FILE_BYTES = 256 << 20  # no image, label or list of these data sets comes near it
MAX_VISITS = 100  # of one folder by ways through links


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
            UserError: if the archive is damaged there, or it is too large.
        """
        if self.content is not None:
            return self.content
        if self.crc is not None:
            return read_zip(self.source, self.entry, self.size)
        with open(self.source, "rb") as file:
            size = self.size if self.entry else os.fstat(file.fileno()).st_size
            self.require_size(size)
            file.seek(self.offset or 0)
            return file.read(size)

    def require_size(self, size: int) -> None:
        """Refuse more bytes than an image, label or list has.

        Raises:
            UserError: ``size`` is too large.
        """
        if size > MAX_FILE_BYTES:
            raise UserError(
                f"{self} has {size:,} bytes, more than the {MAX_FILE_BYTES:,} of any file of this "
                "data set: get it again."
            )

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


def open_source(path: Path, out_dir: Path | None = None) -> list[Member]:
    """Every regular file of a folder, a zip or a tar archive, in its order, hidden ones left out.

    An ``out_dir`` inside of a folder is no part of the source.

    Raises:
        UserError: if there is no such source, it can't be read, or a path in it leads out of it.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist: give the folder or archive that you downloaded.")
    if path.is_dir():
        try:
            members = list(_walk(path, out_dir))
        except OSError as error:
            raise UserError(
                f"{error.filename or path} can't be read ({error.strerror}): mend its rights, or "
                "take it out of the folder."
            ) from None
    elif path.is_file():
        members = [
            Member(entry.name, entry.size, path, entry.spelled, entry.crc, entry.offset)
            for entry in entries_of(path)
        ]
    else:
        raise UserError(f"{path} is no regular file: give the archive that you downloaded.")
    return [member for member in members if not PurePosixPath(member.name).name.startswith(".")]


def _walk(root: Path, out_dir: Path | None) -> Iterator[Member]:
    """The files below ``root``, also through links, but not round in circles."""
    visits: Counter[tuple[int, int]] = Counter()
    left_out = _identity(out_dir) if out_dir and out_dir.is_dir() else None
    if left_out == _identity(root):
        left_out = None
    stack: list[tuple[Path, tuple[tuple[int, int], ...]]] = [(root, (_identity(root),))]
    while stack:
        folder, way = stack.pop()
        visits[way[-1]] += 1
        if visits[way[-1]] > MAX_VISITS:
            raise UserError(f"Links lead to {folder} again and again: take them out of {root}.")
        subfolders = []
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            path = Path(entry)
            if entry.is_file():
                yield Member(path.relative_to(root).as_posix(), entry.stat().st_size, path)
            elif entry.is_dir() and not entry.name.startswith("."):
                identity = _identity(path)
                if identity != left_out and identity not in way:
                    subfolders.append((path, (*way, identity)))
        stack.extend(reversed(subfolders))


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def stream(tasks: Sequence[Task]) -> Iterator[Task]:
    """The tasks, with contents for members of compressed tars, which read well in order only.

    Raises:
        UserError: an archive changed since it was opened.
    """
    waiting: dict[Path, dict[str, Task]] = {}
    for task in tasks:
        if task.member.entry and task.member.crc is None and task.member.offset is None:
            waiting.setdefault(task.member.source, {})[task.member.entry] = task
        else:
            yield task
    for path, wanted in waiting.items():
        for name, content in read_compressed_tar(path, frozenset(wanted)):
            task = wanted.pop(name)
            yield replace(task, member=replace(task.member, content=content))
            if not wanted:
                break
        if wanted:
            raise UserError(f"{path} changed while it was read: run the same command again.")


def archives_in(sources: list[Path]) -> list[Path]:
    """The sources, but for a folder that holds zip archives these, as a download leaves them."""
    inside = [sorted(path.glob("*.zip")) if path.is_dir() else [] for path in sources]
    return [one for path, found in zip(sources, inside, strict=True) for one in found or [path]]


def choose(
    sources: list[Path], pattern: str, what: str, default: str, out_dir: Path | None
) -> tuple[dict[str, Member], Path]:
    """The members whose name ends in a match of ``pattern``, by that match, and the data_root.

    The data_root is ``out_dir``; without it, the place inside a source folder where the matches
    begin, or ``default`` for archives.

    Raises:
        UserError: if nothing matches, two files match alike, or a match has an odd name or size.
    """
    chosen: dict[str, Member] = {}
    root = out_dir
    for source in sources:
        for member in open_source(source, out_dir):
            match = re.search(rf"(?:^|/)({pattern})\Z", member.name)
            if match is None:
                continue
            if not match[1].isprintable():  # nor is what was no UTF-8
                raise UserError(
                    f"{source} holds {ascii(member.name)}, a name that lists can't hold: rename it."
                )
            member.require_size(member.size)
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
