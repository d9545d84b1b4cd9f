"""Label images with a trained model: files, or what people hold in memory."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
from mmseg_gc.apis.expected import KINDS, Expected, Image, test_dataset
from mmseg_gc.config.prediction import views_pipeline
from mmseg_gc.config.unlabelled import without_labels
from mmseg_gc.engine.out_of_memory import explain_memory, test_cfg_of
from mmseg_gc.errors import UserError
from mmseg_gc.registry import MODELS, TRANSFORMS
from mmseg_gc.structures import SegDataSample

__all__ = ["inference_model", "init_model"]


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
    labelled = _Labelling(model, aug_test)
    results = [labelled([image])[0] for image in images]
    return results if is_list else results[0]


def label_each(
    model: nn.Module, images: Sequence[Image], aug_test: bool = False
) -> list[SegDataSample | Exception]:
    """Label ``images``, neighbours of one size together; in place of a result may be its error."""
    labelled = _Labelling(model, aug_test)
    results: list[SegDataSample | Exception] = []
    for same in labelled.of_one_size(images):
        if isinstance(same, Exception):
            results.append(same)
            continue
        try:
            results += labelled.run(same)
        except Exception as error:
            results += [error] if len(same) == 1 else [labelled.alone(one) for one in same]
    return results


class _Labelling:
    """Images in memory or in files, through what reads them and the network."""

    def __init__(self, model: nn.Module, aug_test: bool) -> None:
        if forks.kept_alone:
            forks.tell_of_fork()
        self.reader = _reader(model, aug_test)
        self.network: Any = tta_model(model) if aug_test else model
        self.aug_test = aug_test

    def __call__(self, images: Sequence[Image]) -> list[SegDataSample]:
        return self.run([(image, self._read(image)) for image in images])

    def of_one_size(self, images: Sequence[Image]) -> list[list[tuple[Image, dict]] | Exception]:
        groups: list[list[tuple[Image, dict]] | Exception] = []
        for image in images:
            try:
                sample = self._read(image)
            except Exception as error:  # whatever it is, the next image may be well
                groups.append(error)
                continue
            last = groups[-1] if groups else None
            if isinstance(last, list) and _goes_with(last[0][1], sample):
                last.append((image, sample))
            else:
                groups.append([(image, sample)])
        return groups

    def alone(self, read: tuple[Image, dict]) -> SegDataSample | Exception:
        try:
            return self.run([read])[0]
        except Exception as error:
            return error

    @torch.no_grad()
    def run(self, read: Sequence[tuple[Image, dict]]) -> list[SegDataSample]:
        batch = collate([sample for _, sample in read], aug_test=self.aug_test)
        with self._explained(read[0][0]):
            return self.network.test_step(batch)

    def _read(self, image: Image) -> dict:
        with self._explained(image):
            return self.reader.sample(image)

    @contextmanager
    def _explained(self, image: Image) -> Iterator[None]:
        try:
            yield
        except (MemoryError, RuntimeError):
            what = str(image) if isinstance(image, str | Path) else "an image"
            with explain_memory(test_cfg_of(self.network), what):
                raise


def _goes_with(one: dict, other: dict) -> bool:
    shapes = [getattr(sample["inputs"], "shape", None) for sample in (one, other)]
    return shapes[0] is not None and shapes[0] == shapes[1]  # several views have none


class _Reader:
    """The test pipeline of ``cfg``, or its ``tta_pipeline``, built once for many images."""

    def __init__(self, cfg: Config, aug_test: bool) -> None:
        self.read_of = deepcopy(_said_of_images(cfg))
        self.expected = Expected.of(cfg)
        self.of_file, self.of_array, self.rest = reading_steps(cfg, aug_test)

    def sample(self, image: Image) -> dict:
        """What the test data set would give of ``image``."""
        if isinstance(image, str | Path):
            results = self.of_file(dict(img_path=str(image)))
        else:
            results = self.of_array(dict(img=as_array(image, self.expected)))
        return self.rest(results)


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
