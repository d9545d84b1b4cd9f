"""The one model behind all requests: they wait in a queue, and none takes for ever."""

import contextvars
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from torch import nn

from mmseg_gc.apis.predict import answers, needs_of
from mmseg_gc.apis.prediction import OPACITY, Prediction
from mmseg_gc.apis.sources import Named
from mmseg_gc.apis.videos import Video, VideoFile
from mmseg_gc.errors import UserError
from mmseg_gc.serve.limits import Limits, Refused
from mmseg_gc.serve.uploads import VIDEOS, require_image, video_suffix

T = TypeVar("T")
UPLOAD = "the upload"
Progress = Callable[[int, int], None]  # frames done, of how many


@dataclass(frozen=True)
class Asked:
    """How a client wants an image labelled and drawn; ``drawn`` are ids, None: all."""

    aug_test: bool = False
    opacity: float = OPACITY
    drawn: frozenset[int] | None = None
    outputs: tuple[str, ...] = ("overlay",)


class Worker:
    """Label images and videos with ``model``, one request at a time, in a thread of its own."""

    def __init__(self, model: nn.Module, limits: Limits):
        self.model = model
        self.limits = limits
        meta: Any = model.dataset_meta  # which nn.Module takes for a tensor or a module
        self.classes: tuple[str, ...] = tuple((meta or {}).get("classes") or ())
        self._pool = ThreadPoolExecutor(1)
        self._lock = threading.Lock()
        self._inside = 0

    @property
    def num_requests(self) -> int:
        """How many wait or run."""
        return self._inside

    def label(self, content: bytes, asked: Asked) -> Prediction:
        """Label the image whose file holds ``content``.

        Raises:
            Refused: it can't be used, takes too long, or too many wait.
        """
        require_image(content, self.limits)
        return self._run(lambda deadline: next(self._predictions([content], asked, deadline)))

    def label_video(
        self, path: Path, target: Path, asked: Asked, progress: Progress | None = None
    ) -> tuple[list[dict], np.ndarray]:
        """Draw over the frames of the video ``path``, to ``target``; areas of each, and colours.

        Raises:
            Refused: it can't be used, takes too long, or too many wait; no ``target`` is left.
        """
        with path.open("rb") as file:
            suffix = video_suffix(file.read(16))
        if not suffix:
            raise Refused(415, f"the upload is no video that is read here; send {VIDEOS}.")
        # The name that a client gave tells decoders nothing.
        own = shutil.copyfile(path, target.parent / f"upload{suffix}")
        try:
            return self._run(lambda end: self._video(own, target, asked, progress, end))
        finally:
            own.unlink()

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, work: Callable[[float], T]) -> T:
        seconds = self.limits.seconds
        with self._lock:
            if self._inside >= self.limits.queue:
                raise Refused(503, f"{self._inside} requests are waiting; try again soon.", 10)
            self._inside += 1
        context = contextvars.copy_context()  # in which a page knows whose progress it is
        future = self._pool.submit(context.run, work, time.monotonic() + seconds)
        future.add_done_callback(self._leave)
        try:
            return future.result(timeout=seconds)
        except TimeoutError as error:
            future.cancel()
            raise _too_long(seconds) from error
        except UserError as error:
            raise Refused(422, str(error)) from error

    def _leave(self, future: Future) -> None:
        with self._lock:
            self._inside -= 1

    def _predictions(
        self, images: Iterable[bytes | np.ndarray], asked: Asked, deadline: float
    ) -> Iterator[Prediction]:
        named = (Named(image, UPLOAD, False) for image in images)
        needs, views = needs_of(asked.outputs), asked.aug_test
        for answer in answers(
            self.model, named, needs=needs, aug_test=views, opacity=asked.opacity
        ):
            prediction = answer.prediction
            if prediction is None:
                raise Refused(422, answer.error.removeprefix(f"image {UPLOAD}: "))
            prediction.drawn = asked.drawn
            yield prediction
            if time.monotonic() > deadline:
                raise _too_long(self.limits.seconds)

    def _video(
        self, path: Path, target: Path, asked: Asked, progress: Progress | None, deadline: float
    ) -> tuple[list[dict], np.ndarray]:
        try:
            video = Video(path, max_pixels=self.limits.max_pixels)
        except UserError as error:
            raise Refused(422, str(error).replace(f"video {path}", "the video")) from error
        limit = self.limits.max_frames
        if (video.num_frames or 0) > limit:
            raise Refused(
                413, f"the video has {video.num_frames} frames and at most {limit} are read here."
            )
        rows: list[dict] = []
        palette = np.empty((0, 3), np.uint8)
        sink, whole = VideoFile(target, video.rate), False
        frames = iter(video)
        try:
            labelled = self._predictions(islice(frames, limit), asked, deadline)
            for number, prediction in enumerate(labelled):
                prediction.all_in_legend = True  # else the frames' sizes would differ
                sink.add(prediction.overlay())
                if len(prediction.palette) > len(palette):
                    palette = prediction.palette
                rows += [{"frame": number, **row} for row in prediction.areas()]
                if progress is not None:
                    progress(number + 1, video.num_frames or limit)
            whole = True
        finally:
            sink.close(keep=whole)
        return rows, palette


def _too_long(seconds: float) -> Refused:
    return Refused(
        504, f"this took longer than {seconds:g} s; send a smaller image, or fewer frames."
    )
