"""Label files, folders or arrays, and save pictures and label maps."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
import torch
from mmengine.config import Config
from PIL import Image as PILImage
from tqdm import tqdm

from mmseg_gc.apis.inference import Image, inference_model, init_model
from mmseg_gc.errors import UserError
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
    ):
        device = device or ("cuda:0" if torch.cuda.is_available() else "cpu")
        self.model = init_model(model, weights, device=device, precision=precision, compile=compile)
        self.show_progress = show_progress
        known = DATASETS.get(dataset_name).METAINFO if dataset_name else self.model.dataset_meta
        self.visualizer = SegLocalVisualizer(
            classes=classes or known.get("classes"), palette=palette or known.get("palette")
        )

    def __call__(
        self,
        inputs: Image | Sequence[Image],
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
        """Label ``inputs``: a picture's path, a folder, a BGR array, or a list of these.

        Returns:
            ``predictions``: label maps ``(H, W)`` (or `SegDataSample` with
            ``return_datasamples``) and ``visualization``: RGB pictures; each a list, or the thing
            itself for a single picture.
        """
        images = list(_expand(inputs))
        if not images:
            raise UserError(
                f"no image found in {inputs}; known suffixes: {sorted(IMAGE_SUFFIXES)}."
            )
        predictions, pictures = [], []
        for index, image in enumerate(tqdm(images, unit=" images", disable=not self.show_progress)):
            result = inference_model(self.model, image, aug_test=aug_test)
            labels = result.pred_sem_seg.data.squeeze(0).cpu().numpy()
            predictions.append(result if return_datasamples else labels)
            name = f"{index:08d}" if isinstance(image, np.ndarray) else Path(image).stem
            if out_dir and pred_out_dir:
                _save_labels(labels, Path(out_dir) / pred_out_dir / f"{name}.png")
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
        if isinstance(image, np.ndarray):
            pixels = mmcv.bgr2rgb(image)
        else:
            pixels = mmcv.imread(str(image), channel_order="rgb")
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


def _expand(inputs: Image | Sequence[Image]) -> Iterator[Image]:
    if isinstance(inputs, list | tuple):
        for item in inputs:
            yield from _expand(item)
    elif not isinstance(inputs, np.ndarray) and Path(inputs).is_dir():
        files = sorted(Path(inputs).iterdir())
        yield from (str(file) for file in files if file.suffix.lower() in IMAGE_SUFFIXES)
    else:
        yield inputs


def _save_labels(labels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PILImage.fromarray(labels.astype(np.uint8)).save(path)
