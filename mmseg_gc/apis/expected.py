"""What a network takes for an image, as far as its config tells, and images made that."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import mmcv
import numpy as np
import torch
from mmengine.config import Config
from PIL import Image as PILImage
from PIL import ImageOps

from mmseg_gc.config.leaf_datasets import leaf_datasets
from mmseg_gc.errors import UserError
from mmseg_gc.registry import MODELS, TRANSFORMS
from mmseg_gc.visualization.displayable import displayable

Image = str | Path | np.ndarray | PILImage.Image
KINDS = "a path, an array (h, w, c) in BGR order or a PIL image"


@dataclass(frozen=True)
class Expected:
    """Channels and levels of images, and how their files are read."""

    loader: Mapping  # the first step of the test pipeline
    channels: int | None
    largest_level: float  # of mean and std; 0 where nothing is normalised

    @classmethod
    def of(cls, cfg: Config) -> "Expected":
        """Read it off ``cfg``.

        Raises:
            UserError: there is no test data set with a pipeline.
        """
        preprocessor = cfg.model.get("data_preprocessor") or {}
        mean, std = (np.ravel(preprocessor.get(key, ())) for key in ("mean", "std"))
        # One mean may be for all of several channels.
        channels = len(mean) if len(mean) > 1 else _in_channels(cfg.model.get("backbone") or {})
        levels = [float(level) for level in (*mean, *std) if level is not None]
        return cls(test_dataset(cfg)["pipeline"][0], channels, max(levels, default=0.0))

    @cached_property
    def reads_8_bits(self) -> bool:
        """Whether files come to the network as levels from 0 to 255, whatever they hold."""
        kind, options = self.loader["type"], self.loader
        return (
            (kind if isinstance(kind, str) else kind.__name__) == "LoadImageFromFile"
            and options.get("color_type", "color") != "unchanged"
            and options.get("imdecode_backend") != "tifffile"
        )


def test_dataset(cfg: Config) -> Mapping:
    """The config of the test data set, of several the first: its pipeline is that of images.

    Raises:
        UserError: there is none.
    """
    dataset = (cfg.get("test_dataloader") or {}).get("dataset")
    leaf = leaf_datasets(dataset)[0] if dataset else {}
    if not leaf.get("pipeline"):
        raise UserError(
            f"{cfg.filename} has no test_dataloader.dataset.pipeline, which says how an image is "
            "read: add one."
        )
    return leaf


def _in_channels(backbone: Mapping) -> int | None:
    kind = backbone.get("type")
    kind = MODELS.get(kind) if isinstance(kind, str) else kind
    parameters = inspect.signature(kind).parameters if kind is not None else {}
    default = parameters["in_channels"].default if "in_channels" in parameters else None
    channels = backbone.get("in_channels", default)
    return channels if isinstance(channels, int) else None


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
