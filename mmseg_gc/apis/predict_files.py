"""Label files, addresses, videos and streams into files, while the network goes on."""

import csv
import io
import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

from torch import nn
from tqdm import tqdm

from mmseg_gc.apis.predict import Answer, answers, needs_of, sentence_of
from mmseg_gc.apis.prediction import OPACITY, OUTPUTS, Prediction
from mmseg_gc.apis.sources import Named, find
from mmseg_gc.apis.videos import Video, VideoFile, is_video
from mmseg_gc.atomic import left_behind, put
from mmseg_gc.checkpoint.http import shown
from mmseg_gc.datasets.files import IMAGE_SUFFIXES
from mmseg_gc.engine.work_dir import check_work_dir
from mmseg_gc.errors import UserError
from mmseg_gc.evaluation.label_files import is_whole

WRITERS = 2  # threads
TABLES = {"classes": "areas.csv", "components": "components.csv"}


@dataclass(frozen=True)
class Written:
    """What came of one image or video: an ``error``, a sentence; or it was ``skipped``."""

    source: str
    num_frames: int = 1
    error: str = ""
    skipped: bool = False


class FileWriter:
    """Label what people name into ``out_dir/OUTPUT/NAME.suffix``, each file whole or not there.

    Names are those of `result_names`. Of a video, overlay and colour are videos, and the others a
    file for each frame, ``NAME/000000``. ``areas`` has tables of the classes and of the pieces of
    all images beside its files, and of each frame of a video ``NAME_areas.csv`` and
    ``NAME_components.csv``.
    """

    def __init__(
        self,
        model: nn.Module,
        out_dir: str | Path,
        outputs: Sequence[str] = ("overlay",),
        *,
        batch_size: int = 1,
        aug_test: bool = False,
        scale: float | None = None,
        opacity: float = OPACITY,
        skip_existing: bool = False,
        max_frames: int | None = None,
        show_progress: bool = True,
    ):
        self.model = model
        self.out_dir = Path(out_dir)
        self.outputs = list(dict.fromkeys(outputs))
        self.options: dict[str, Any] = dict(
            needs=needs_of(self.outputs),
            batch_size=batch_size,
            aug_test=aug_test,
            scale=scale,
            opacity=opacity,
        )
        self.skip_existing = skip_existing
        self.max_frames = max_frames
        self.show_progress = show_progress

    def __call__(self, inputs: Sequence[str]) -> Iterator[Written]:
        """Label ``inputs``: files, folders, patterns, addresses, videos, streams, webcams.

        Raises:
            UserError: nothing is there to label, or ``out_dir`` can't be written.
        """
        folders = [self.out_dir / output for output in self.outputs]
        videos = [Video(one) for one in inputs if is_video(one)]
        no_videos = [one for one in inputs if not is_video(one)]
        files = find(no_videos, count(), map(str, folders))[0] if no_videos else []
        if not files and not videos:
            raise UserError(
                f"no image found in {', '.join(map(str, inputs))}; known suffixes: "
                f"{', '.join(IMAGE_SUFFIXES)}."
            )
        for folder in (self.out_dir, *folders):
            check_work_dir(folder, "--out-dir")
        unfinished = [path for folder in folders for path in left_behind(folder)]
        yield from self._images(files)
        if "areas" in self.outputs and files:
            self._tables([image.name for image in files])
        for video in videos:
            yield self._video(video)
        # What was there before and is still there is a killed program's.
        for path in unfinished:
            path.unlink(missing_ok=True)

    def _path(self, output: str, name: str) -> Path:
        return self.out_dir / output / f"{name}{OUTPUTS[output].suffix}"

    def _images(self, files: list[Named]) -> Iterator[Written]:
        there = [image for image in files if self.skip_existing and self._is_done(image.name)]
        yield from (Written(shown(image.image), skipped=True) for image in there)
        done = {image.name for image in there}
        todo = [image for image in files if image.name not in done]
        bar = tqdm(
            total=len(todo),
            unit="image",
            dynamic_ncols=True,
            disable=not (self.show_progress and todo),
        )
        with bar, ThreadPoolExecutor(WRITERS) as pool:
            pending: deque[Future[Written]] = deque()
            for answer in answers(self.model, todo, **self.options):
                pending.append(pool.submit(self._write, answer))
                if len(pending) > 2 * WRITERS + self.options["batch_size"]:
                    yield pending.popleft().result()
                bar.update()
            while pending:
                yield pending.popleft().result()

    def _is_done(self, name: str) -> bool:
        paths = [self._path(output, name) for output in self.outputs]
        pixels = (".png", ".jpg")
        return all(is_whole(p) if p.suffix in pixels else p.is_file() for p in paths)

    def _write(self, answer: Answer) -> Written:
        source = shown(answer.image.image)
        if answer.prediction is None:
            return Written(source, error=answer.error)
        try:
            self._save(answer.prediction, answer.image.name, self.outputs)
        except UserError:
            raise  # the disk is full, or the folder gone: it is for the next one as well
        except Exception as error:
            return Written(source, error=sentence_of(error, answer.image))
        return Written(source)

    def _save(self, prediction: Prediction, name: str, outputs: Iterable[str]) -> None:
        for output in outputs:
            prediction.save(self._path(output, name), output)

    def _tables(self, names: list[str]) -> None:
        """One line a class, and one a piece, of all images, from the files of each."""
        for key, target in TABLES.items():
            rows = []
            for name in names:
                path = self._path("areas", name)
                if path.is_file():
                    rows += [{"image": name, **row} for row in json.loads(path.read_text())[key]]
            put_table(rows, self.out_dir / target)

    def _video(self, video: Video) -> Written:
        moving = [output for output in self.outputs if output in ("overlay", "colour")]
        paths = [self.out_dir / output / f"{video.name}.mp4" for output in moving]
        if self.skip_existing and all(p.is_file() for p in paths) and paths:
            return Written(video.source, skipped=True)
        still = [output for output in self.outputs if output not in (*moving, "areas")]
        frames = islice(iter(video), self.max_frames)
        images = (Named(frame, f"{video.name}/{i:06d}", False) for i, frame in enumerate(frames))
        sinks = [VideoFile(path, video.rate) for path in paths]
        rows: dict[str, list[dict]] = {key: [] for key in TABLES}
        total = min(filter(None, (video.num_frames, self.max_frames)), default=None)
        bar = tqdm(total=total, unit="frame", dynamic_ncols=True, disable=not self.show_progress)
        num_frames, whole = 0, False

        def draw(answer: Answer) -> None:
            prediction = answer.prediction
            assert prediction is not None
            prediction.all_in_legend = True  # else the frames' sizes would differ
            for output, sink in zip(moving, sinks, strict=True):
                sink.add(getattr(prediction, output)())
            self._save(prediction, answer.image.name, still)
            if "areas" in self.outputs:
                for key, of_key in rows.items():
                    areas = prediction.areas(components=key == "components")
                    of_key.extend({"frame": len(seen), **row} for row in areas)
            seen.append(None)

        seen: list[None] = []
        try:
            with bar, ThreadPoolExecutor(1) as pool:  # one: frames come in their order
                pending: deque[Future] = deque()
                try:
                    for answer in answers(self.model, images, **self.options):
                        if answer.error:
                            raise UserError(f"{video.source}: {answer.error}")
                        pending.append(pool.submit(draw, answer))
                        if len(pending) > 4 + self.options["batch_size"]:
                            pending.popleft().result()
                        num_frames += 1
                        bar.update()
                except KeyboardInterrupt:
                    if not video.is_live:
                        raise
                for future in pending:
                    future.result()
            whole = True
        finally:
            for sink in sinks:
                sink.close(keep=whole)
        if "areas" in self.outputs:
            for key, name in TABLES.items():
                put_table(rows[key], self.out_dir / "areas" / f"{video.name}_{name}")
        return Written(video.source, num_frames=num_frames)


def put_table(rows: list[dict], path: Path) -> None:
    """Write ``rows`` as CSV, with a line of their names first."""
    text = io.StringIO()
    names = list(dict.fromkeys(chain.from_iterable(rows)))
    table = csv.DictWriter(text, names, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    put(text.getvalue().encode(), str(path))
