"""What clients send: looked at before it is decoded, and kept no longer than it is needed."""

import os
import shutil
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType

from mmseg_gc.datasets.transforms.headers import SIGNATURE, TIFF_STARTS, read_header
from mmseg_gc.serve.limits import Limits, Refused, too_large

MAX_AGE = 600.0  # seconds
SWEEP_EVERY = 30.0  # seconds
BYTES_A_PIXEL = 8  # at most: four channels of 16 bits
IMAGES = "PNG, JPEG, BMP, TIFF or WebP"
VIDEOS = "MP4, MOV, AVI, MKV or WebM"


def require_image(content: bytes, limits: Limits) -> None:
    """Refuse what is no image, or has more pixels than are decoded, by its header alone.

    Raises:
        Refused: it is so.
    """
    if not content:
        raise Refused(400, "the upload is empty; send the bytes of an image.")
    if len(content) > limits.max_bytes:
        raise too_large(limits)
    is_webp = content.startswith(b"RIFF") and content[8:12] == b"WEBP"
    if not content.startswith((SIGNATURE, b"\xff\xd8", b"BM", *TIFF_STARTS)) and not is_webp:
        told = "; videos are for the page" if video_suffix(content[:16]) else ""
        raise Refused(415, f"the upload is no image that is read here; send {IMAGES}{told}.")
    header = read_header(content)
    width, height = header.size
    if width < 1 or height < 1:
        raise Refused(422, "the upload's header has no size; save the image anew as PNG.")
    size = width * height * max(header.channels, 1) * max(header.bits, 8) // 8
    if width * height > limits.max_pixels or size > limits.max_pixels * BYTES_A_PIXEL:
        raise Refused(
            413,
            f"the image has {width} x {height} pixels and at most {limits.max_pixels / 1e6:g} "
            "million are read here; send a smaller one, or tiles.",
        )


def video_suffix(start: bytes) -> str:
    """The suffix of the container that a file begins as, "" where it is no video's.

    Playlists, which make a decoder open further files and addresses, are none.
    """
    if start[4:8] == b"ftyp":
        return ".mp4"
    if start.startswith(b"RIFF") and start[8:12] == b"AVI ":
        return ".avi"
    return ".mkv" if start.startswith(b"\x1a\x45\xdf\xa3") else ""


class Scratch:
    """A folder for temporary files that nobody else can read, emptied by age and at the end."""

    def __init__(self, max_age: float = MAX_AGE):
        self.max_age = max_age
        self.folder = Path(tempfile.mkdtemp(prefix="mmseg_gc_serve_")).resolve()
        self._ended = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep_on, daemon=True)

    def __enter__(self) -> "Scratch":
        self._sweeper.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        shutil.rmtree(self.folder, ignore_errors=True)

    def new_folder(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.folder))

    def uploaded(self, path: str) -> Path:
        """The file of an upload, which lies in this folder, whatever ``path`` says.

        Raises:
            Refused: it doesn't, or it is gone.
        """
        file = Path(path).resolve()
        if not file.is_relative_to(self.folder) or not file.is_file():
            raise Refused(410, "the upload isn't there any more; drop the file again.")
        return file

    def bytes_kept(self) -> int:
        total = 0
        for folder, _, names in os.walk(self.folder):
            for name in names:
                try:
                    total += os.lstat(os.path.join(folder, name)).st_size
                except OSError:  # it has been removed meanwhile
                    continue
        return total

    def sweep(self) -> None:
        """Remove files older than ``max_age`` seconds, and folders that this leaves empty."""
        oldest = time.time() - self.max_age
        for folder, names, files in os.walk(self.folder, topdown=False):
            for path in (os.path.join(folder, name) for name in files):
                try:
                    if os.lstat(path).st_mtime < oldest:
                        os.unlink(path)
                except OSError:
                    continue
            for path in (os.path.join(folder, name) for name in names):
                try:
                    if os.lstat(path).st_mtime < oldest:
                        os.rmdir(path)
                except OSError:  # it isn't empty
                    continue

    def _sweep_on(self) -> None:
        while not self._ended.wait(SWEEP_EVERY):
            self.sweep()
