"""Label files, folders or arrays, and save drawings and label maps."""

import errno
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.model import BaseModel
from tqdm import tqdm

from mmseg_gc.apis.building import init_model
from mmseg_gc.apis.devices import chosen_device, require_device
from mmseg_gc.apis.drawing import drawable
from mmseg_gc.apis.expected import Expected, Image
from mmseg_gc.apis.inference import label_each
from mmseg_gc.apis.predict import sentence_of
from mmseg_gc.apis.sources import Named, find
from mmseg_gc.atomic import left_behind
from mmseg_gc.config.zoo import config_names, published_weights
from mmseg_gc.datasets.files import IMAGE_SUFFIXES
from mmseg_gc.datasets.named import SHORT_NAMES
from mmseg_gc.engine.work_dir import check_work_dir
from mmseg_gc.errors import UserError
from mmseg_gc.evaluation.label_files import LabelFiles, is_whole, label_file_ids
from mmseg_gc.registry import DATASETS, INFERENCERS
from mmseg_gc.structures import SegDataSample
from mmseg_gc.visualization import SegLocalVisualizer
from mmseg_gc.visualization.drawings import write_drawing

# What the system says of one file's name, and not of the disk.
OF_ONE_NAME = (errno.ENAMETOOLONG, errno.EISDIR, errno.EILSEQ, errno.EINVAL)
NAMED_AT_MOST = 5  # broken images in one sentence


@dataclass(frozen=True)
class Labelled:
    """What came of one image: a ``data_sample``, or an ``error``, a sentence; or it was skipped."""

    image: Image
    data_sample: SegDataSample | None = None
    drawing: np.ndarray | None = None  # RGB uint8 (H, W, 3), if one was drawn
    error: str = ""
    skipped: bool = False

    @property
    def labels(self) -> np.ndarray:
        """Ids of classes, (H, W)."""
        assert self.data_sample is not None, self.error
        return self.data_sample.pred_sem_seg.data.squeeze(0).cpu().numpy()

    @property
    def picture(self) -> np.ndarray | None:
        """The name of ``drawing`` until 0.3, which goes with 0.4."""
        warnings.warn("picture is called drawing since 0.3.", FutureWarning, stacklevel=2)
        return self.drawing


@INFERENCERS.register_module()
class MMSegInferencer:
    """Call a model on images and get label maps, drawings, and files of both.

    ``model`` is a config (path or object), or the name of one that `list_models` has, whose
    published weights are fetched unless ``weights`` are given; a model's text stored in a
    checkpoint is never run. Up to ``batch_size`` neighbours of one size go through the network
    together. A call returns all that it found; `stream` hands out one result after the other and
    forgets it.

    Raises:
        UserError: there is no such ``device``, or the model or its weights can't be had, as
            `init_model` says.

    Source: ``mmseg.apis.MMSegInferencer``.
    """

    def __init__(
        self,
        model: str | Path | Config,
        weights: str | None = None,
        classes: Sequence[str] | None = None,
        palette: Sequence[Sequence[int]] | None = None,
        dataset_name: str | None = None,
        device: str | None = None,
        show_progress: bool = True,
        precision: str = "fp32",
        compile: bool = False,
        accelerate: str = "auto",
        batch_size: int = 1,
    ):
        self.batch_size = _checked(batch_size)
        device = chosen_device(device)
        require_device(device)  # before weights are fetched
        if weights is None and isinstance(model, str):
            weights = published_weights(model)
        self.model: BaseModel = init_model(
            model,
            weights,
            device=device,
            precision=precision,
            compile=compile,
            accelerate=accelerate,
        )
        self.show_progress = show_progress
        self._unnamed = count()  # images without a file that results were named for
        self._written: dict[tuple[str, str], str] = {}  # folder and name of a result: its image
        known: Any = self.model.dataset_meta
        if dataset_name:
            known = DATASETS.get(SHORT_NAMES.get(dataset_name.lower(), dataset_name))
            known = getattr(known, "METAINFO", None)
            if known is None:
                raise UserError(
                    f"dataset_name {dataset_name!r} is no data set here; name its class, such as "
                    "'CityscapesDataset'."
                )
        self.visualizer = SegLocalVisualizer(
            classes=classes or known.get("classes"), palette=palette or known.get("palette")
        )

    def __call__(
        self,
        inputs: Image | Iterable[Image],
        return_datasamples: bool = False,
        batch_size: int | None = None,
        return_vis: bool = False,
        show: bool = False,
        wait_time: float = 0,
        out_dir: str = "",
        img_out_dir: str = "vis",
        pred_out_dir: str = "pred",
        opacity: float = 0.8,
        with_labels: bool = True,
        aug_test: bool = False,
    ) -> dict[str, Any]:
        """Label ``inputs`` as `stream` does, and return all results together.

        Args:
            batch_size: default: the inferencer's own.

        Returns:
            ``predictions``: ids of classes ``(H, W)`` (or `SegDataSample` with
            ``return_datasamples``) and ``visualization``: RGB drawings; each a list, or the thing
            itself for a single image.

        Raises:
            UserError: as `stream`; or an image can't be used. With ``out_dir`` the others are
                labelled before that is said.
        """
        predictions, drawings, errors = [], [], []
        for result in self.stream(
            inputs,
            batch_size=batch_size,
            return_vis=return_vis,
            show=show,
            wait_time=wait_time,
            out_dir=out_dir,
            img_out_dir=img_out_dir,
            pred_out_dir=pred_out_dir,
            opacity=opacity,
            with_labels=with_labels,
            aug_test=aug_test,
        ):
            if result.error:
                errors.append(result.error)
                if not out_dir:
                    break  # nothing else would remain of the others
            elif not errors:
                predictions.append(result.data_sample if return_datasamples else result.labels)
                drawings.append(result.drawing)
        if errors:
            raise UserError("; ".join(errors[:NAMED_AT_MOST]) + _further(errors))
        single = len(predictions) == 1
        return {
            "predictions": predictions[0] if single else predictions,
            "visualization": (drawings[0] if single else drawings) if return_vis else [],
        }

    def stream(
        self,
        inputs: Image | Iterable[Image],
        *,
        batch_size: int | None = None,
        return_vis: bool = False,
        show: bool = False,
        wait_time: float = 0,
        out_dir: str = "",
        img_out_dir: str = "vis",
        pred_out_dir: str = "pred",
        opacity: float = 0.8,
        with_labels: bool = True,
        aug_test: bool = False,
        skip_existing: bool = False,
    ) -> Iterator[Labelled]:
        """Label one image of ``inputs`` after the other; nothing of it is held afterwards.

        ``inputs`` is what `inference_model` takes, a folder, whose folders are walked, or several
        of these. ``out_dir`` gets a PNG for each under ``pred_out_dir``, whose numbers are those of
        the label files, as ``tools/test.py --out`` writes them (with ``reduce_zero_label`` the
        first class is 1), and a drawing under ``img_out_dir``; a file is whole or not there. They
        lie as in the folder, as `result_names` says; images that are no files are counted, on from
        the last call. ``skip_existing`` leaves out images that have all of their files.

        An image that can't be used gives a result with its ``error``, and the next one follows.

        Raises:
            UserError: there is no image, ``out_dir`` can't be written, or two images would be
                written to one file.
        """
        targets = {
            kind: Path(out_dir, folder)
            for kind, folder in (("pred", pred_out_dir), ("vis", img_out_dir))
            if out_dir and folder
        }
        files, rest = find(inputs, self._unnamed, map(str, targets.values()))
        first = next(rest, None)
        if not files and first is None:
            raise UserError(
                f"no image found in {inputs}; known suffixes: {sorted(IMAGE_SUFFIXES)}."
            )
        total = len(files) if first is None else None
        images = chain(files, rest if first is None else chain([first], rest))
        for target in ([out_dir] if out_dir else []) + list(targets.values()):
            check_work_dir(target, "out_dir")
        for image in files if out_dir else ():
            self._claim(image, out_dir)
        swept = targets.values() if len(files) > 1 else ()
        unfinished = [path for target in swept for path in left_behind(target)]
        labels = LabelFiles(str(targets.get("pred", "")))
        self.visualizer.alpha = opacity
        draws = return_vis or show or "vis" in targets
        shown = iter(tqdm(images, unit=" images", total=total, disable=not self.show_progress))
        at_once = self.batch_size if batch_size is None else _checked(batch_size)
        while batch := list(islice(shown, at_once)):
            todo = []
            for image in batch:
                if out_dir:
                    self._claim(image, out_dir)
                wanted = _files_of(image, targets)
                if skip_existing and wanted and all(map(is_whole, wanted.values())):
                    yield Labelled(image.image, skipped=True)
                else:
                    todo.append(image)
            samples = label_each(self.model, [image.image for image in todo], aug_test=aug_test)
            for image, sample in zip(todo, samples, strict=True):
                drawing = None
                try:
                    if isinstance(sample, Exception):
                        raise sample
                    if draws:
                        drawing = self._draw(image, sample, show, wait_time, with_labels)
                except Exception as error:  # whatever it is, the next image may be well
                    yield Labelled(image.image, error=sentence_of(error, image))
                else:
                    result = Labelled(image.image, sample, drawing)
                    yield self._written_to(targets, image, result, labels)
        # What was there before and is still there is a killed program's.
        for path in unfinished:
            path.unlink(missing_ok=True)

    def _written_to(
        self, targets: dict[str, Path], image: Named, result: Labelled, labels: LabelFiles
    ) -> Labelled:
        """``result``, with the files that it is to have; or the error of one file's name."""
        files = _files_of(image, targets)
        try:
            if "pred" in files:
                labels.names[image.origin] = image.name
                labels.write(label_file_ids(self.model.dataset_meta)[result.labels], image.origin)
            if "vis" in files and result.drawing is not None:
                write_drawing(result.drawing, str(files["vis"]))
        except UserError as error:
            if getattr(error.__cause__, "errno", None) not in OF_ONE_NAME:
                raise
            return Labelled(image.image, error=sentence_of(error, image))
        return result

    @staticmethod
    def list_models(words: str = "") -> list[str]:
        """The names that ``model`` may be, of those with all of ``words`` in them.

        Source: ``mmengine.infer.BaseInferencer.list_models``.
        """
        return [name for name in config_names() if all(word in name for word in words.split())]

    def _claim(self, image: Named, out_dir: str) -> None:
        before = self._written.setdefault((out_dir, image.name), image.origin)
        if before != image.origin:
            raise UserError(
                f"{image.origin} and {before} would both be written to {out_dir} as {image.name}: "
                "name another out_dir, or label both in one call."
            )

    def _draw(
        self,
        image: Named,
        sample: SegDataSample,
        show: bool,
        wait_time: float,
        with_labels: bool,
    ) -> np.ndarray:
        return self.visualizer.add_datasample(
            image.name,
            drawable(image.image, Expected.of(self.model.cfg)),
            data_sample=sample,
            show=show,
            wait_time=wait_time,
            with_labels=with_labels,
        )


def _checked(batch_size: int) -> int:
    if batch_size < 1:
        raise UserError(f"batch_size {batch_size} is no number of images; give 1 or more.")
    return batch_size


def _files_of(image: Named, targets: dict[str, Path]) -> dict[str, Path]:
    """The files that ``image``'s results go to, by kind."""
    suffixes = {"pred": ".png", "vis": ".jpg"}
    return {kind: top / f"{image.name}{suffixes[kind]}" for kind, top in targets.items()}


def _further(errors: Sequence[str]) -> str:
    more = len(errors) - NAMED_AT_MOST
    return f"; and {more} more images" if more > 0 else ""
