"""Fetch weight files over HTTP: resumable, checked by their hash, never half-written."""

import hashlib
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.error import HTTPError
from urllib.parse import urlsplit

import torch
from filelock import FileLock, Timeout
from mmengine.logging import print_log
from tqdm import tqdm

from mmseg_gc.checkpoint.http import chunks, open_url, shown, without_secrets
from mmseg_gc.errors import UserError

MAX_BYTES = 16 << 30  # far more than any weights of this package's models
# A zip or a pickle, as torch writes them, or the length of a safetensors header and its beginning.
WEIGHTS = re.compile(rb"PK\x03\x04|\x80[\x02-\x05]|.{5}\0\0\0\{", re.DOTALL)
SECONDS_BEFORE_TELLING = 3  # that another process fetches the same file
SECONDS_TO_WAIT = 120  # for one that fetches nothing


def cache_dir() -> Path:
    """Where downloaded weights are kept: torch's own hub folder."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def hash_prefix(name: str) -> str | None:
    """The hex digits that end a published file's name, as in ``resnet50_v1c-2cccc1ad.pth``."""
    # Eight digits that read as a date are one: `run-20240131.pth`.
    found = re.search(r"-(?!20\d\d[01]\d[0-3]\d\.)([0-9a-f]{8,64})\.\w+$", name)
    return found.group(1) if found else None


def sha256_of(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(url: str, folder: str | Path | None = None) -> Path:
    """The local copy of ``url`` in ``folder`` (default: `cache_dir`), fetched where it is missing.

    A file appears under its own name only when it is complete and its SHA-256 begins with the
    digits in its name; a copy that is already there is hashed each time (half a second for 200 MB)
    and refused if it is another file. Without such digits in its name, nothing tells files of one
    name apart: the copy's name then holds a digest of the address, and what is no weights at all,
    such as a page that asks to sign in, is thrown away. An interrupted transfer stays as
    ``NAME.part`` and the next call takes it up again. Processes that want one file take turns.

    Raises:
        UserError: the address can't be reached, the transfer broke off or was too slow or too
            large, the folder can't be written, another process holds the file and fetches nothing,
            or the hash is wrong.
    """
    try:
        name = PurePosixPath(urlsplit(url).path).name
    except ValueError:
        name = ""
    if not name:
        raise UserError(f"{shown(url)} names no file; give the address of a weight file.")
    target = Path(folder or cache_dir()) / _local_name(url, name)
    expected = hash_prefix(name)
    try:
        if not target.is_file():
            _fetch(url, target, expected)
        elif expected:
            _check(target, expected, f"{target} has", "delete it, and it is fetched again")
    except UserError:
        raise
    except (OSError, HTTPException, ValueError) as error:
        reason = without_secrets(str(error) or type(error).__name__, url)
    else:
        return target
    # Outside of the block that has the error: whatever it holds of the address stays there.
    raise UserError(
        f"{shown(url)} can't be fetched to {target.parent} ({reason}); mend that and try again, or "
        f"put the file at {target} yourself."
    )


def _local_name(url: str, name: str) -> str:
    if hash_prefix(name):
        return name
    path = PurePosixPath(name)
    return f"{path.stem}.{hashlib.sha256(url.encode()).hexdigest()[:8]}{path.suffix}"


def _check(path: Path, expected: str, subject: str, cure: str) -> None:
    actual = sha256_of(path)
    if not actual.startswith(expected):
        raise UserError(
            f"{subject} SHA-256 {actual[:12]}… where its name promises {expected}…; {cure}."
        )


def _fetch(url: str, target: Path, expected: str | None) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    with _turn(part, target) as lock:
        if target.is_file():  # since this process waited
            part.unlink(missing_ok=True)
        else:
            _fetch_to(part, url, target, expected)
        # Who waits for the lock finds the target, and who comes later doesn't ask for it.
        Path(lock.lock_file).unlink(missing_ok=True)


def _fetch_to(part: Path, url: str, target: Path, expected: str | None) -> None:
    with open(part, "ab") as file:
        try:
            # Two halves are known to belong together by their hash alone.
            _transfer(url, file, bar_name=target.name, resume=expected is not None)
            file.flush()
            os.fsync(file.fileno())
            if expected:
                _check(part, expected, f"{shown(url)} gave", "it was thrown away: try again")
            else:
                _require_weights(part, url)
        except UserError:
            file.truncate(0)
            raise
        os.replace(part, target)


@contextmanager
def _turn(part: Path, target: Path) -> Iterator[FileLock]:
    """Wait for one's turn as long as the process before fetches something.

    Raises:
        UserError: it doesn't.
    """
    lock = FileLock(f"{target}.lock")
    told, size, changed = False, -1, time.monotonic()
    begun = changed
    while not lock.is_locked:
        try:
            lock.acquire(timeout=0)
            continue
        except Timeout:
            now = time.monotonic()
        if _size_of(part) != size:
            size, changed = _size_of(part), now
        if now - changed > SECONDS_TO_WAIT:
            raise UserError(
                f"{_holder(lock)} holds {lock.lock_file} and has fetched nothing for "
                f"{SECONDS_TO_WAIT} s: stop it and try again."
            )
        if not told and now - begun > SECONDS_BEFORE_TELLING:
            message = f"Waiting for {_holder(lock)}, which fetches {target}."
            print_log(message, logger="current", level=logging.WARNING)
            told = True
        time.sleep(0.1)
    try:
        yield lock
    finally:
        lock.release()


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # whoever fetches it may give it its name at any moment
        return 0


def _holder(lock: FileLock) -> str:
    try:
        inode = os.stat(lock.lock_file).st_ino
        locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    except OSError:
        return "another process"
    owners = [
        line[4]
        for line in locks
        if len(line) == 8 and line[1] == "FLOCK" and line[5].endswith(f":{inode}")
    ]
    return f"process {owners[0]}" if owners else "another process"


def _require_weights(path: Path, url: str) -> None:
    with open(path, "rb") as file:
        start = file.read(9)
    if not WEIGHTS.match(start):
        kind = "a web page" if start.lstrip().startswith(b"<") else "no weights"
        raise UserError(
            f"{shown(url)} gave {kind}, which was thrown away: check the address, and whether this "
            "network wants you to sign in."
        )


def _transfer(url: str, file: BinaryIO, *, bar_name: str, resume: bool) -> None:
    size = os.fstat(file.fileno()).st_size if resume else 0
    try:
        response = open_url(url, first_byte=size)
    except HTTPError as error:
        if size and error.code == 416:  # nothing follows what is there; its hash will be checked
            return
        raise
    with response:
        if response.status != 206:  # the whole file comes, whatever was asked for
            size = 0
            file.truncate(0)
        total = None if response.length is None else size + response.length
        _require_room(url, Path(file.name).parent, total or 0, size)
        with tqdm(total=total, initial=size, unit="B", unit_scale=True, desc=bar_name) as bar:
            for chunk in chunks(response):
                file.write(chunk)
                bar.update(len(chunk))
                size += len(chunk)
                _require_size(url, size)
    if total is not None and size != total:
        raise ConnectionError(f"the connection closed after {size} of {total} bytes")


def _require_size(url: str, size: int) -> None:
    if size > MAX_BYTES:
        raise UserError(
            f"{shown(url)} gives more than {MAX_BYTES >> 30} GiB, which are no weights of this "
            "package's models: check the address."
        )


def _require_room(url: str, folder: Path, total: int, size: int) -> None:
    _require_size(url, total)
    free = shutil.disk_usage(folder).free
    if total - size > free:
        raise UserError(
            f"{shown(url)} has {total - size:,} bytes to fetch, and {folder} has room for "
            f"{free:,}: free the disk."
        )
