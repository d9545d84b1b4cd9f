"""Fetch weight files over HTTP: resumable, checked by their hash, never half-written."""

import hashlib
import os
import re
import urllib.error
import urllib.request
from pathlib import Path

import torch
from tqdm import tqdm

from mmseg_gc.errors import UserError

CHUNK_BYTES = 1 << 20


def cache_dir() -> Path:
    """Where downloaded weights are kept: torch's own hub folder."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def hash_prefix(name: str) -> str | None:
    """The hex digits that end a published file's name, as in ``resnet50_v1c-2cccc1ad.pth``."""
    found = re.search(r"-([0-9a-f]{8,64})\.\w+$", name)
    return found.group(1) if found else None


def sha256_of(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(url: str, folder: Path | None = None) -> Path:
    """The local copy of ``url`` in ``folder`` (default: `cache_dir`), fetched where it is missing.

    An interrupted transfer is kept as ``NAME.part`` and taken up again by the next call. The file
    appears under its own name only when it is complete and its SHA-256 begins with the digits in
    its name.

    Raises:
        UserError: the address can't be reached, the transfer broke off, or the hash is wrong.
    """
    folder = Path(folder or cache_dir())
    target = folder / url.rsplit("/", 1)[-1].split("?")[0]
    expected = hash_prefix(target.name)
    if target.is_file():
        return target
    part = target.with_name(target.name + ".part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _transfer(url, part)
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise UserError(
            f"{url} can't be fetched ({error}); try again when the network is there, or put the "
            f"file at {target} yourself."
        ) from error
    actual = sha256_of(part)
    if expected and not actual.startswith(expected):
        part.unlink()
        raise UserError(
            f"{url} has SHA-256 {actual[:12]}… where its name promises {expected}…; the file was "
            "thrown away: fetch it again, or from another place."
        )
    os.replace(part, target)
    return target


def _transfer(url: str, part: Path) -> None:
    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "mmseg_gc"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        response = urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # the part is already complete, or longer than the file
            raise
        part.unlink()
        return _transfer(url, part)
    with response:
        if start and response.status != 206:  # the server can't resume: begin again
            start = 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        with (
            open(part, "ab" if start else "wb") as file,
            tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=part.stem) as bar,
        ):
            while chunk := response.read(CHUNK_BYTES):
                file.write(chunk)
                bar.update(len(chunk))
    if total is not None and part.stat().st_size != total:
        raise OSError(f"the connection closed after {part.stat().st_size} of {total} bytes")
