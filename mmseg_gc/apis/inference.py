"""Label images with a trained model: files, or what people hold in memory."""

from copy import deepcopy
from pathlib import Path
from typing import Any, overload
from weakref import WeakKeyDictionary

import mmcv
import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.model import BaseModel, BaseTTAModel
from PIL import Image as PILImage
from PIL import ImageOps
from torch import nn

from mmseg_gc.apis import forks
from mmseg_gc.apis.building import init_model
from mmseg_gc.apis.expected import Expected, test_dataset
from mmseg_gc.config.prediction import views_pipeline
from mmseg_gc.config.unlabelled import without_labels
from mmseg_gc.engine.out_of_memory import explain_memory, test_cfg_of
from mmseg_gc.errors import UserError
from mmseg_gc.registry import MODELS, TRANSFORMS
from mmseg_gc.structures import SegDataSample
from mmseg_gc.visualization import SegLocalVisualizer
from mmseg_gc.visualization.displayable import displayable

__all__ = ["inference_model", "init_model", "show_result_pyplot"]

Image = str | Path | np.ndarray | PILImage.Image
KINDS = "a path, an array (h, w, c) in BGR order or a PIL image"


@overload
def inference_model(model: nn.Module, img: Image, aug_test: bool = False) -> SegDataSample: ...
@overload
def inference_model(
    model: nn.Module, img: list[Image] | tuple[Image, ...], aug_test: bool = False
) -> list[SegDataSample]: ...
def inference_model(
    model: nn.Module, img: Image | list[Image] | tuple[Image, ...], aug_test: bool = False
) -> SegDataSample | list[SegDataSample]:
    """Label one image or several.

    Args:
        model: what `init_model` returned.
        img: a path; an array ``(H, W, C)`` or ``(H, W)`` with the values that a file has, colours
            as BGR; a PIL image; or a list of these.
        aug_test: average over the scales and flips of the config's ``tta_pipeline``.

    Returns:
        A `SegDataSample` whose ``pred_sem_seg`` is ``(1, H, W)``, ids of classes, or a list for a
        list.

    Raises:
        UserError: an image has a type, shape, number of channels or range that the network doesn't
            take, or is too large for the memory, or ``aug_test`` finds no ``tta_pipeline``.

    Source: ``mmseg.apis.inference_model``.
    """
    is_list = isinstance(img, list | tuple)
    images: list[Image] = list(img) if isinstance(img, list | tuple) else [img]
    if not images:
        raise UserError("no image to label: the list is empty.")
    if forks.kept_alone:
        forks.tell_of_fork()
    if aug_test:
        model = tta_model(model)
    with torch.no_grad():
        results = [_label(model, image, aug_test) for image in images]
    return results if is_list else results[0]


def _label(model: BaseModel, image: Image, aug_test: bool) -> SegDataSample:
    segmentor = model.module if isinstance(model, BaseTTAModel) else model
    try:
        return model.test_step(_reader(segmentor, aug_test).batch(image))[0]
    except (MemoryError, RuntimeError):
        what = str(image) if isinstance(image, str | Path) else "an image"
        with explain_memory(test_cfg_of(model), what):
            raise


class _Reader:
    """The test pipeline of ``cfg``, or its ``tta_pipeline``, built once for many images."""

    def __init__(self, cfg: Config, aug_test: bool) -> None:
        self.read_of = deepcopy(_said_of_images(cfg))
        self.expected = Expected.of(cfg)
        self.aug_test = aug_test
        self.of_file, self.of_array, self.rest = reading_steps(cfg, aug_test)

    def batch(self, image: Image) -> dict:
        """What a data loader would give of ``image`` alone, for a ``test_step``."""
        if isinstance(image, str | Path):
            results = self.of_file(dict(img_path=str(image)))
        else:
            results = self.of_array(dict(img=as_array(image, self.expected)))
        return collate([self.rest(results)], aug_test=self.aug_test)


def reading_steps(cfg: Config, aug_test: bool) -> tuple[Any, Any, Compose]:
    """What loads a file, what takes an array in its place, and what follows either.

    They are those of the test pipeline, or with ``aug_test`` of the ``tta_pipeline``, of ``cfg``.
    """
    dataset = test_dataset(cfg)
    pipeline = views_pipeline(cfg, dataset) if aug_test else dataset["pipeline"]
    first, *rest = without_labels(pipeline)
    of_array = dict(type="LoadImageFromNDArray", to_float32=first.get("to_float32", False))
    return TRANSFORMS.build(dict(first)), TRANSFORMS.build(of_array), Compose(rest)


def collate(samples: list[dict], *, aug_test: bool) -> dict:
    """The batch that ``test_step`` takes of ``samples``, of which several views are one alone."""
    if aug_test:  # {key: [view, …]} -> {key: [[view], …]}
        [sample] = samples
        return {key: [[view] for view in views] for key, views in sample.items()}
    return {key: [sample[key] for sample in samples] for key in samples[0]}


_readers: WeakKeyDictionary[nn.Module, dict[bool, _Reader]] = WeakKeyDictionary()


def _reader(model: BaseModel, aug_test: bool) -> _Reader:
    of_model = _readers.setdefault(model, {})
    reader = of_model.get(aug_test)
    # People change the pipeline of a model's `cfg` between two images.
    if reader is None or reader.read_of != _said_of_images(model.cfg):
        reader = of_model[aug_test] = _Reader(model.cfg, aug_test)
    return reader


def _said_of_images(cfg: Config) -> list[Any]:
    """All of ``cfg`` that says how an image is read."""
    preprocessor = cfg.model.get("data_preprocessor")
    return [cfg.get("test_dataloader"), cfg.get("tta_pipeline"), preprocessor]


def tta_model(model: BaseModel) -> BaseTTAModel:
    """``model`` behind what averages over the scales and flips of its config, in eval mode."""
    tta = MODELS.build({**model.cfg.get("tta_model", dict(type="SegTTAModel")), "module": model})
    return tta.eval()


def as_array(image: np.ndarray | PILImage.Image, expected: Expected) -> np.ndarray:
    """``image`` as the pipeline's loader would give it: (h, w) or (h, w, c), writable, contiguous.

    Grey images serve a network of three channels, and bits become 0 and 255, as from files. Types
    that files don't have become uint8 or float32.

    Raises:
        UserError: it has another type, shape, number of channels or range than the network's.
    """
    if isinstance(image, PILImage.Image):
        if not str(expected.loader.get("color_type", "color")).endswith(("changed", "orientation")):
            image = ImageOps.exif_transpose(image)  # as from its file
        image = _of_pil(image, expected)
    if not isinstance(image, np.ndarray):
        raise UserError(f"an image is {_described(image)}; give {KINDS}.")
    image = np.asarray(image)  # without what a subclass, such as a masked array, does
    if image.dtype.kind not in "buif":
        raise UserError(f"an image array has dtype {image.dtype}; make it uint8 or float32.")
    if image.ndim not in (2, 3) or image.size == 0:
        raise UserError(
            f"an image array has shape {image.shape}; give one image (h, w, c) that isn't empty, "
            "or a list of them."
        )
    image = _of_channels(image, expected)
    _require_range(image, expected)
    if image.dtype.kind == "b":
        image = image.astype(np.uint8) * np.uint8(255)
    elif image.dtype.kind == "f":
        image = image.astype(np.float32, copy=False)
    elif expected.reads_8_bits:
        image = image.astype(np.uint8, copy=False)
    elif image.dtype not in (np.uint8, np.uint16, np.int16):  # OpenCV resizes no others
        image = image.astype(np.float32)
    return np.require(image, requirements=("C", "W"))


def _described(image: object) -> str:
    if image is None:
        return "None, as cv2.imread gives for a file that it can't read"
    if isinstance(image, torch.Tensor):
        return (
            "a torch tensor, whose order of channels is unknown (of RGB (3, h, w) from 0 to 255 "
            "take tensor.flip(0).permute(1, 2, 0).cpu().numpy())"
        )
    return f"of type {type(image).__name__}"


def _of_pil(image: PILImage.Image, expected: Expected) -> np.ndarray:
    if image.mode.startswith(("I", "F")):  # one channel of more than 8 bits
        return np.asarray(image)
    if image.mode == "RGBA" and expected.channels == 4:
        return np.asarray(image)[..., [2, 1, 0, 3]]
    if expected.channels == 1 and (image.mode in ("1", "L") or expected.reads_8_bits):
        return np.asarray(image.convert("L"))
    return np.asarray(image.convert("RGB"))[..., ::-1]


def _of_channels(image: np.ndarray, expected: Expected) -> np.ndarray:
    found, wanted = 1 if image.ndim == 2 else image.shape[2], expected.channels
    if wanted is None or found == wanted:
        return image[..., 0] if image.ndim == 3 and found == 1 else image
    if found == 1 and wanted == 3:
        return np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    if found == 3 and wanted == 1 and expected.reads_8_bits and image.dtype == np.uint8:
        return mmcv.bgr2gray(np.ascontiguousarray(image))
    cure = f"give {wanted}, as mean or in_channels of the config has it"
    if image.ndim == 3 and image.shape[0] in (wanted, 1) and found > 4:
        cure = "turn it by array.transpose(1, 2, 0), so that channels come last"
    elif found == 4 and wanted == 3:
        cure = "leave out transparency by array[..., :3]"
    raise UserError(
        f"an image array of shape {image.shape} has {found} channels and the network takes "
        f"{wanted}; {cure}."
    )


def _require_range(image: np.ndarray, expected: Expected) -> None:
    if image.dtype.kind == "b":
        return
    finite = image[np.isfinite(image)] if image.dtype.kind == "f" else image
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    told = f"an image array of {image.dtype} has values from {low:g} to {high:g}"
    if image.dtype.kind == "f" and low >= 0 and 0 < high <= 2:  # resizing may overshoot 1
        if expected.reads_8_bits:
            raise UserError(f"{told}, and the network takes 0 to 255; multiply it by 255.")
        if expected.largest_level > 1:
            raise UserError(
                f"{told}, and the config's mean and std are up to {expected.largest_level:g}; give "
                "the values that the files have."
            )
    if expected.reads_8_bits and (low < 0 or high > 255):
        cure = "by array // 256" if image.dtype == np.uint16 else "to that range"
        raise UserError(f"{told}, and the network takes 0 to 255; scale it {cure}.")
    if image.dtype == np.uint8 and expected.largest_level > 256:
        raise UserError(
            f"{told}, and the config's mean and std are up to {expected.largest_level:g}; give the "
            "values that the files have."
        )


def show_result_pyplot(
    model: nn.Module,
    img: Image,
    result: SegDataSample,
    opacity: float = 0.5,
    title: str = "",
    draw_gt: bool = True,
    draw_pred: bool = True,
    wait_time: float = 0,
    show: bool = True,
    with_labels: bool = True,
    save_dir: str | None = None,
    out_file: str | None = None,
) -> np.ndarray:
    """Draw ``result`` over ``img``, show or save it, and return the RGB drawing ``(H, W, 3)``.

    Source: ``mmseg.apis.show_result_pyplot``.
    """
    image = drawable(img, Expected.of(model.cfg))
    backends = [dict(type="LocalVisBackend")] if save_dir else None
    visualizer = SegLocalVisualizer(
        vis_backends=backends, save_dir=save_dir, alpha=opacity, **_names_and_colors(model)
    )
    return visualizer.add_datasample(
        title or "result",
        image,
        data_sample=result,
        draw_gt=draw_gt,
        draw_pred=draw_pred,
        show=show,
        wait_time=wait_time,
        out_file=out_file,
        with_labels=with_labels,
    )


def _names_and_colors(model: nn.Module) -> dict[str, Any]:
    meta = getattr(model, "dataset_meta", None) or {}
    return {key: meta.get(key) for key in ("classes", "palette")}


def drawable(image: Image, expected: Expected) -> np.ndarray:
    """``image``, of a file or in memory, as a screen shows it: RGB, uint8, (h, w, 3)."""
    if isinstance(image, str | Path):
        loader = TRANSFORMS.build(dict(expected.loader))
        pixels = loader({"img_path": str(image)})["img"]
    else:
        pixels = as_array(image, expected)
    if pixels.dtype.kind == "f":
        pixels = np.nan_to_num(pixels, posinf=0, neginf=0)
    if expected.reads_8_bits:
        pixels = pixels.astype(np.uint8)
    return displayable(pixels)
