"""Label files, folders or arrays, and save pictures and label maps."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from PIL import Image as PILImage
from tqdm import tqdm

from mmseg_gc.apis.images import Expected, Image, drawable
from mmseg_gc.apis.inference import inference_model, init_model
from mmseg_gc.datasets.files import is_hidden
from mmseg_gc.engine.work_dir import check_work_dir
from mmseg_gc.errors import UserError
from mmseg_gc.evaluation.label_files import LabelFiles, label_file_ids, result_names
from mmseg_gc.registry import DATASETS, INFERENCERS
from mmseg_gc.structures import SegDataSample
from mmseg_gc.visualization import SegLocalVisualizer

IMAGE_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


@INFERENCERS.register_module()
class MMSegInferencer:
    """Call a model on pictures and get label maps, pictures, and files of both.

    ``model`` is a config (path or object); a model's text stored in a checkpoint is never run.

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
        self.model = init_model(
            model,
            weights,
            device=device,
            precision=precision,
            compile=compile,
            accelerate=accelerate,
        )
        self.show_progress = show_progress
        self._num_unnamed = 0  # images without a file that results were named for
        self._written: dict[tuple[str, str], str] = {}  # folder and name of a result: its image
        known = DATASETS.get(dataset_name).METAINFO if dataset_name else self.model.dataset_meta
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
        """Label ``inputs``: what `inference_model` takes, a folder, or several of these.

        ``out_dir`` gets a PNG for each under ``pred_out_dir``, whose numbers are those of the label
        files, as ``tools/test.py --out`` writes them (with ``reduce_zero_label`` the first class is
        1), and a drawing under ``img_out_dir``. `result_names` says what they are called; images
        that are no files are counted, on from the last call.

        Returns:
            ``predictions``: ids of classes ``(H, W)`` (or `SegDataSample` with
            ``return_datasamples``) and ``visualization``: RGB pictures; each a list, or the thing
            itself for a single picture.

        Raises:
            UserError: there is no image, one can't be used, or ``out_dir`` can't be written.
        """
        images = list(_expand(inputs))
        if not images:
            raise UserError(
                f"no image found in {inputs}; known suffixes: {sorted(IMAGE_SUFFIXES)}."
            )
        if out_dir:
            check_work_dir(out_dir, "out_dir")
        predictions, pictures = [], []
        files = LabelFiles(str(Path(out_dir) / pred_out_dir))
        named = list(zip(images, self._names(images, out_dir), strict=True))
        for image, name in tqdm(named, unit=" images", disable=not self.show_progress):
            result = inference_model(self.model, image, aug_test=aug_test)
            labels = result.pred_sem_seg.data.squeeze(0).cpu().numpy()
            predictions.append(result if return_datasamples else labels)
            if out_dir and pred_out_dir:
                source = str(image) if _is_file(image) else name
                files.names[source] = name
                files.write(label_file_ids(self.model.dataset_meta)[labels], source)
            if return_vis or show or (out_dir and img_out_dir):
                target = Path(out_dir) / img_out_dir / f"{name}.jpg" if out_dir else None
                picture = self._draw(
                    image, result, name, target, show, wait_time, opacity, with_labels
                )
                pictures.append(picture)
        single = len(images) == 1
        return {
            "predictions": predictions[0] if single else predictions,
            "visualization": (pictures[0] if single else pictures) if return_vis else [],
        }

    def _names(self, images: Sequence[Image], out_dir: str) -> list[str]:
        of_files = iter(result_names([str(image) for image in images if _is_file(image)]))
        names = []
        for image in images:
            if _is_file(image):
                names.append(next(of_files))
            else:
                names.append(f"{self._num_unnamed:08d}")
                self._num_unnamed += 1
            if out_dir:
                source = str(Path(image).resolve()) if _is_file(image) else names[-1]
                before = self._written.setdefault((out_dir, names[-1]), source)
                if before != source:
                    raise UserError(
                        f"{source} and {before} would both be written to {out_dir} as {names[-1]}: "
                        "name another out_dir, or label both in one call."
                    )
        return names

    def _draw(
        self,
        image: Image,
        result: SegDataSample,
        name: str,
        target: Path | None,
        show: bool,
        wait_time: float,
        opacity: float,
        with_labels: bool,
    ) -> np.ndarray:
        pixels = drawable(image, Expected.of(self.model.cfg))
        self.visualizer.alpha = opacity
        return self.visualizer.add_datasample(
            name,
            pixels,
            data_sample=result,
            show=show,
            wait_time=wait_time,
            out_file=None if target is None else str(target),
            with_labels=with_labels,
        )


def _is_file(image: Image) -> bool:
    return isinstance(image, str | Path)


def _expand(inputs: Image | Iterable[Image]) -> Iterator[Image]:
    if _is_file(inputs):
        if Path(inputs).is_dir():
            files = sorted(Path(inputs).iterdir())
            yield from (
                str(file)
                for file in files
                if file.suffix.lower() in IMAGE_SUFFIXES and not is_hidden(file.name)
            )
        else:
            yield inputs
    elif isinstance(inputs, Iterable) and not isinstance(
        inputs, np.ndarray | PILImage.Image | torch.Tensor | bytes
    ):
        for item in inputs:
            yield from _expand(item)
    else:
        yield inputs
