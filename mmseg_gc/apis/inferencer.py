"""Label files, folders or arrays, and save drawings and label maps."""

import errno
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from tqdm import tqdm

from mmseg_gc.apis.expected import Expected
from mmseg_gc.apis.inference import Image, drawable, inference_model, init_model
from mmseg_gc.apis.predict import sentence_of
from mmseg_gc.apis.sources import Named, find
from mmseg_gc.atomic import left_behind
from mmseg_gc.datasets.files import IMAGE_SUFFIXES
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


@INFERENCERS.register_module()
class MMSegInferencer:
    """Call a model on images and get label maps, drawings, and files of both.

    ``model`` is a config (path or object); a model's text stored in a checkpoint is never run.
    A call returns all that it found; `stream` hands out one result after the other and forgets it.

    Raises:
        UserError: there is no such ``device``, or the model can't be had, as `init_model` says.

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
    ):
        device = device or ("cuda:0" if torch.cuda.is_available() else "cpu")
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
            known = DATASETS.get(dataset_name).METAINFO
        self.visualizer = SegLocalVisualizer(
            classes=classes or known.get("classes"), palette=palette or known.get("palette")
        )

    def __call__(
        self,
        inputs: Image | Iterable[Image],
        return_datasamples: bool = False,
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
        for image in tqdm(images, unit=" images", total=total, disable=not self.show_progress):
            if out_dir:
                self._claim(image, out_dir)
            drawing_file = targets["vis"] / f"{image.name}.jpg" if "vis" in targets else None
            wanted = [targets["pred"] / f"{image.name}.png"] if "pred" in targets else []
            wanted += [drawing_file] if drawing_file else []
            if skip_existing and wanted and all(map(is_whole, wanted)):
                yield Labelled(image.image, skipped=True)
                continue
            drawing = None
            try:
                sample = inference_model(self.model, image.image, aug_test=aug_test)
                if draws:
                    drawing = self._draw(image, sample, show, wait_time, with_labels)
            except Exception as error:  # whatever it is, the next image may be well
                result = Labelled(image.image, error=sentence_of(error, image))
            else:
                result = Labelled(image.image, sample, drawing)
                try:
                    if "pred" in targets:
                        labels.names[image.origin] = image.name
                        labels.write(
                            label_file_ids(self.model.dataset_meta)[result.labels], image.origin
                        )
                    if drawing_file and drawing is not None:
                        write_drawing(drawing, str(drawing_file))
                except UserError as error:
                    if getattr(error.__cause__, "errno", None) not in OF_ONE_NAME:
                        raise
                    result = Labelled(image.image, error=sentence_of(error, image))
            yield result
        # What was there before and is still there is a killed program's.
        for path in unfinished:
            path.unlink(missing_ok=True)

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


def _further(errors: Sequence[str]) -> str:
    more = len(errors) - NAMED_AT_MOST
    return f"; and {more} more images" if more > 0 else ""
