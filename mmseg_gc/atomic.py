"""Files that are whole or not there."""

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from operator import methodcaller
from pathlib import Path
from typing import BinaryIO

from mmengine import fileio
from mmengine.fileio import LocalBackend

from mmseg_gc.errors import UserError

# What `tempfile.mkstemp` makes of the names below.
TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}", re.DOTALL)

LONGEST_PREFIX = 240  # bytes; file systems take names of 255


def write_atomically(
    path: str | Path, write: Callable[[BinaryIO], object], *, durable: bool = True
) -> None:
    """Let ``write`` fill a file so that ``path`` is always the old one or the whole new one.

    ``durable`` waits until the disk has it, which a loss of power can't undo.

    Raises:
        UserError: the folder can't be written or the disk is full; an older file stays as it was.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{os.fsdecode(os.fsencode(path.name)[:LONGEST_PREFIX])}."
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=prefix)
        with os.fdopen(handle, "wb") as file:
            write(file)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        if durable:
            _sync_folder(path.parent)
    except BaseException as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        if isinstance(error, OSError | RuntimeError):
            # torch's writer puts an error of its own before the disk's.
            reason = error.__context__ if isinstance(error.__context__, OSError) else error
            raise UserError(
                f"{path} can't be written ({reason}); free the disk or mend the rights."
            ) from error
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    """A rename is on disk only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def put(content: bytes, path: str, backend_args: dict | None = None) -> None:
    """Write ``content`` to ``path``, atomically where it's local; ``backend_args`` as mmengine's.

    Raises:
        UserError: a local file can't be written, as `write_atomically` says.
    """
    backend = fileio.get_file_backend(path, backend_args=backend_args)
    if isinstance(backend, LocalBackend):
        # A file that the power's loss has emptied is seen to be none: it needn't be waited for.
        write_atomically(path, lambda file: file.write(content), durable=False)
    else:
        backend.put(content, path)


def left_behind(folder: str | Path) -> Iterator[Path]:
    """What killed programs, or those that run now, have not finished writing below ``folder``."""
    for path in Path(folder).rglob(".*"):
        if TEMPORARY.fullmatch(path.name) and path.is_file():
            yield path


def put_together(contents: Mapping[Path, bytes]) -> None:
    """Write all of ``contents``, bytes by local path, or none of them.

    Raises:
        UserError: one of them can't be written; what stood there before stays as it was.
    """
    staged: dict[Path, Path] = {}
    try:
        for path, content in contents.items():
            if path.is_dir():
                raise UserError(f"{path} is a folder; name another file or move it away.")
            staged[path] = path.with_name(f".{path.name}.{os.getpid():08d}")
            write_atomically(staged[path], methodcaller("write", content))
        for path, temporary in staged.items():
            os.replace(temporary, path)
    finally:
        for temporary in staged.values():
            temporary.unlink(missing_ok=True)
