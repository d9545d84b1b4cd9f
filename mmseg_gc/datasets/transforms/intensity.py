"""Change what levels an image has, each pixel for itself or by its surroundings."""

from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmseg_gc.datasets.transforms.formatting import contiguous
from mmseg_gc.errors import UserError
from mmseg_gc.registry import TRANSFORMS


def require_8_bits(results: dict, owner: str) -> np.ndarray:
    """``img`` (h, w) or (h, w, c), uint8, for the transform ``owner``.

    Raises:
        UserError: it has other numbers.
    """
    image = results["img"]
    if image.dtype != np.uint8:
        raise UserError(
            f"{owner} needs images of 8 bits, but {results.get('img_path')} is {image.dtype}: put "
            "it before what changes that, such as Rerange, or set to_float32=False where the image "
            "is loaded."
        )
    return contiguous(image)


@TRANSFORMS.register_module()
class CLAHE(BaseTransform):
    """Equalise the histogram of each channel of an 8-bit ``img`` in tiles, with limited contrast.

    ``tile_grid_size`` is the number of tiles in rows and columns.

    Source: ``mmseg.datasets.transforms.CLAHE``.
    """

    def __init__(self, clip_limit: float = 40.0, tile_grid_size: tuple[int, int] = (8, 8)) -> None:
        if len(tile_grid_size) != 2 or min(tile_grid_size) < 1:
            raise UserError(
                f"CLAHE.tile_grid_size is {tile_grid_size}: give two whole numbers of 1 or more."
            )
        self.clip_limit = clip_limit
        self.tile_grid_size = tuple(tile_grid_size)

    def transform(self, results: dict) -> dict:
        image = require_8_bits(results, "CLAHE")
        clahe = cv2.createCLAHE(self.clip_limit, self.tile_grid_size)
        if image.ndim == 2:
            results["img"] = clahe.apply(image)
            return results
        channels = np.moveaxis(image, 2, 0)
        made = [clahe.apply(np.ascontiguousarray(channel)) for channel in channels]
        results["img"] = np.stack(made, axis=-1)
        return results


@TRANSFORMS.register_module()
class AdjustGamma(BaseTransform):
    """Raise the levels of an 8-bit ``img``, as shares of 255, to the power ``1 / gamma``.

    Source: ``mmseg.datasets.transforms.AdjustGamma``.
    """

    def __init__(self, gamma: float = 1.0) -> None:
        if gamma <= 0:
            raise UserError(f"AdjustGamma.gamma is {gamma}: give a number above 0.")
        self.gamma = gamma
        levels = [(level / 255) ** (1 / gamma) * 255 for level in range(256)]
        self.table = np.array(levels).astype(np.uint8)

    def transform(self, results: dict) -> dict:
        image = require_8_bits(results, "AdjustGamma")
        results["img"] = cv2.LUT(image, self.table).reshape(image.shape)
        return results


@TRANSFORMS.register_module()
class RGB2Gray(BaseTransform):
    """Make the weighted sum of ``img``'s channels, float32, each of ``out_channels``.

    ``out_channels=None`` keeps the number of channels. The first of ``weights`` is that of the
    first channel, which as loaded is blue.

    Source: ``mmseg.datasets.transforms.RGB2Gray``, whose images are float64.
    """

    def __init__(
        self,
        out_channels: int | None = None,
        weights: Sequence[float] = (0.299, 0.587, 0.114),
    ) -> None:
        if out_channels is not None and out_channels < 1:
            raise UserError(f"RGB2Gray.out_channels is {out_channels}: give 1 or more, or None.")
        self.out_channels = out_channels
        self.weights = tuple(weights)

    def transform(self, results: dict) -> dict:
        image = results["img"]
        if image.ndim != 3 or image.shape[2] != len(self.weights):
            raise UserError(
                f"RGB2Gray has {len(self.weights)} weights, but {results.get('img_path')} is of "
                f"shape {image.shape}: give one weight a channel."
            )
        grey = (image * np.array(self.weights)).sum(2, keepdims=True).astype(np.float32)
        results["img"] = grey.repeat(self.out_channels or len(self.weights), axis=2)
        results["img_shape"] = grey.shape[:2]
        return results


@TRANSFORMS.register_module()
class Rerange(BaseTransform):
    """Stretch the levels of ``img`` to reach from ``min_value`` to ``max_value``; float32.

    An image of one level becomes ``min_value`` all over.

    Source: ``mmseg.datasets.transforms.Rerange``, whose images are float64, and which stops at an
    image of one level.
    """

    def __init__(self, min_value: float = 0, max_value: float = 255) -> None:
        if min_value >= max_value:
            raise UserError(
                f"Rerange has min_value={min_value} and max_value={max_value}: give a larger "
                "max_value."
            )
        self.min_value = min_value
        self.max_value = max_value

    def transform(self, results: dict) -> dict:
        image = results["img"]
        low, high = float(image.min()), float(image.max())
        shares = (image.astype(np.float64) - low) / ((high - low) or 1.0)
        stretched = shares * (self.max_value - self.min_value) + self.min_value
        results["img"] = stretched.astype(np.float32)
        return results
