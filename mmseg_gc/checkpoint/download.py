"""Fetch weight files over HTTP: resumable, checked by their hash, never half-written."""

import fcntl
import hashlib
import os
import re
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import torch
from tqdm import tqdm

from mmseg_gc.errors import UserError

CHUNK_BYTES = 1 << 20
SECONDS_OF_SILENCE = 30


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
    name apart: the copy's name then holds a digest of the address. An interrupted transfer stays as
    ``NAME.part`` and the next call takes it up again. Processes that want one file take turns.

    Raises:
        UserError: the address can't be reached, the transfer broke off, the folder can't be
            written, or the hash is wrong.
    """
    name = PurePosixPath(urlsplit(url).path).name
    if not name:
        raise UserError(f"{url} names no file; give the address of a weight file.")
    target = Path(folder or cache_dir()) / _local_name(url, name)
    expected = hash_prefix(name)
    try:
        if not target.is_file():
            _fetch(url, target, expected)
        elif expected:
            _check(target, expected, f"{target} has", "delete it, and it is fetched again")
    except (OSError, HTTPException, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"{url} can't be fetched to {target.parent} ({error}); mend that and try again, or put "
            f"the file at {target} yourself."
        ) from error
    return target


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
    with open(part, "ab") as file:
        # The lock lies on the file itself, which therefore is emptied and renamed, but not removed
        # as long as the target is missing: a process in the queue would hold on to a ghost.
        fcntl.flock(file, fcntl.LOCK_EX)
        if target.is_file():  # while this process waited
            part.unlink(missing_ok=True)
            return
        # Two halves are known to belong together by their hash alone.
        _transfer(url, file, bar_name=target.name, resume=expected is not None)
        file.flush()
        os.fsync(file.fileno())
        if expected:
            try:
                _check(part, expected, f"{url} gave", "it was thrown away: try again")
            except UserError:
                file.truncate(0)
                raise
        os.replace(part, target)


def _transfer(url: str, file: BinaryIO, *, bar_name: str, resume: bool) -> None:
    size = os.fstat(file.fileno()).st_size if resume else 0
    request = Request(url, headers={"User-Agent": "mmseg_gc"})
    if size:
        request.add_header("Range", f"bytes={size}-")
    try:
        response = urlopen(request, timeout=SECONDS_OF_SILENCE)
    except HTTPError as error:
        if size and error.code == 416:  # nothing follows what is there; its hash will be checked
            return
        raise
    with response:
        if response.status != 206:  # the whole file comes, whatever was asked for
            size = 0
            file.truncate(0)
        length = response.headers.get("Content-Length")
        total = size + int(length) if length else None
        with tqdm(total=total, initial=size, unit="B", unit_scale=True, desc=bar_name) as bar:
            while chunk := response.read(CHUNK_BYTES):
                file.write(chunk)
                bar.update(len(chunk))
                size += len(chunk)
    if total is not None and size != total:
        raise ConnectionError(f"the connection closed after {size} of {total} bytes")
