"""Videos, webcams and streams: frames in, drawn frames out."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from mmseg_gc.errors import UserError

SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv")
STREAM = re.compile(r"(rtsp|rtmp|udp|tcp)://", re.IGNORECASE)
CODECS = {".mp4": "mp4v", ".webm": "VP80"}  # browsers show the latter; of others MJPG
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # quiet; read when the first one is opened
DEFAULT_RATE = 25.0  # frames a second, where a source doesn't tell


def is_video(source: object) -> bool:
    """Whether ``source`` names a video, a stream, or a webcam by its number."""
    if not isinstance(source, str | Path):
        return False
    text = str(source)
    return text.isdigit() or bool(STREAM.match(text)) or text.lower().endswith(SUFFIXES)


@contextmanager
def _without_a_word() -> Iterator[None]:
    """Keep what OpenCV and FFmpeg print of a source off the screen: a sentence says it."""
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


class Video:
    """The frames of a file, a webcam (``"0"``) or a stream, once.

    Raises:
        UserError: it can't be opened, has no frames, or claims more than ``max_pixels`` for each.
    """

    def __init__(self, source: str | Path, max_pixels: int | None = None):
        self.source = str(source)
        self.is_live = self.source.isdigit() or bool(STREAM.match(self.source))
        if not self.is_live and "://" not in self.source and not os.path.isfile(self.source):
            raise UserError(f"video {source} doesn't exist; check the path.")
        with _without_a_word():
            number = int(self.source) if self.source.isdigit() else self.source
            self._capture = cv2.VideoCapture(number)
            width, height = (
                int(self._capture.get(what))
                for what in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
            )
            if max_pixels is not None and width * height > max_pixels:  # before there is room
                self._capture.release()
                raise UserError(
                    f"video {source} has frames of {width} x {height} pixels and at most "
                    f"{max_pixels / 1e6:g} million are read here; make it smaller."
                )
            opened = False
            self._first: np.ndarray | None = None
            if self._capture.isOpened():
                opened, self._first = self._capture.read()
        if not opened:
            self._capture.release()
            raise UserError(self._why_not())
        self.rate = self._capture.get(cv2.CAP_PROP_FPS) or DEFAULT_RATE
        number = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.num_frames = number if number > 0 and not self.is_live else None

    def _why_not(self) -> str:
        if self.source.isdigit():
            return (
                f"webcam {self.source} can't be opened: see that it is plugged in, that no other "
                f"program uses it and that you may read /dev/video{self.source}."
            )
        if self.is_live:
            return f"stream {self.source} can't be opened; check the address and that it runs."
        return (
            f"video {self.source} has no frame that OpenCV can read; convert it, as by ffmpeg -i "
            "IN out.mp4."
        )

    @property
    def name(self) -> str:
        """What results are called."""
        if self.source.isdigit():
            return f"webcam{self.source}"
        return re.sub(r"[^\w.-]", "_", Path(self.source.split("://")[-1]).stem) or "stream"

    def __iter__(self) -> Iterator[np.ndarray]:
        """BGR uint8 (h, w, 3)."""
        frame = self._first
        try:
            while frame is not None:
                yield frame
                read, frame = self._capture.read()
                if not read:
                    return
        finally:
            self._capture.release()


class VideoFile:
    """A video that is written frame by frame and bears its name when it is whole.

    ``codec`` is a FourCC, by default one that goes with the suffix; ``width`` and ``height`` are by
    default those of the first frame.

    Raises:
        UserError: it can't be written.
    """

    def __init__(
        self,
        path: str | Path,
        rate: float,
        *,
        codec: str | None = None,
        width: int | None = None,
        height: int | None = None,
    ):
        self.path = Path(path)
        self.rate = rate
        self.codec = codec or CODECS.get(self.path.suffix, "MJPG")
        if len(self.codec) != 4:
            raise UserError(f"codec {self.codec!r} is no FourCC; give four letters, as MJPG.")
        self._writer: cv2.VideoWriter | None = None
        self._wanted = width, height
        self._size = (0, 0)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle, self._temporary = tempfile.mkstemp(
            dir=self.path.parent, prefix=f".{self.path.stem}.", suffix=self.path.suffix
        )
        os.close(handle)

    def add(self, frame: np.ndarray) -> None:
        """Append ``frame``, RGB uint8 (h, w, 3); another size than the first one's is resized."""
        if self._writer is None:
            sides = zip(self._wanted, frame.shape[1::-1], strict=True)
            width, height = (wanted or own for wanted, own in sides)
            self._size = (width - width % 2, height - height % 2)  # most codecs want even sizes
            code = cv2.VideoWriter.fourcc(*self.codec)
            self._writer = cv2.VideoWriter(self._temporary, code, self.rate, self._size)
            if not self._writer.isOpened():
                raise UserError(
                    f"video {self.path} can't be written as {self.codec} by this OpenCV; name .avi."
                )
        if frame.shape[1::-1] != self._size:
            close = all(abs(a - b) < 2 for a, b in zip(frame.shape[1::-1], self._size, strict=True))
            width, height = self._size
            frame = frame[:height, :width] if close else cv2.resize(frame, self._size)
        self._writer.write(np.ascontiguousarray(frame[..., ::-1]))

    def close(self, *, keep: bool) -> None:
        """End the file; without ``keep`` nothing of it remains."""
        if self._writer is not None:
            self._writer.release()
        if keep and self._writer is not None:
            os.chmod(self._temporary, 0o644)
            os.replace(self._temporary, self.path)
        else:
            Path(self._temporary).unlink(missing_ok=True)
