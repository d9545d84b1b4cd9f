"""Change brightness, contrast, saturation and hue at random."""

from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from numpy import random

from mmseg_gc.datasets.transforms.formatting import contiguous
from mmseg_gc.errors import UserError
from mmseg_gc.registry import TRANSFORMS

LEVELS = np.arange(256, dtype=np.uint8)


@TRANSFORMS.register_module()
class PhotoMetricDistortion(BaseTransform):
    """Distort ``img`` (h, w, 3), BGR: brightness, contrast, saturation, hue, each with p = 0.5.

    ``brightness_delta`` is in grey levels, ``hue_delta`` in steps of two degrees; the ranges are
    factors. Contrast comes before or after the two colour steps, by another coin. Steps are table
    look-ups, bit for bit what arithmetic in float32 on every pixel gives.

    Raises:
        UserError: The picture has not 8 bits and 3 channels.

    Source: ``mmseg.datasets.transforms.PhotoMetricDistortion``; same draws, same pixels.
    """

    def __init__(
        self,
        brightness_delta: int = 32,
        contrast_range: Sequence[float] = (0.5, 1.5),
        saturation_range: Sequence[float] = (0.5, 1.5),
        hue_delta: int = 18,
    ) -> None:
        self.brightness_delta = brightness_delta
        self.contrast_range = tuple(contrast_range)
        self.saturation_range = tuple(saturation_range)
        self.hue_delta = hue_delta

    def transform(self, results: dict) -> dict:
        image = results["img"]
        if image.dtype != np.uint8 or image.shape[2:] != (3,):
            raise UserError(
                f"PhotoMetricDistortion needs 8-bit colour pictures, but {results.get('img_path')} "
                f"is {image.dtype} of shape {image.shape}: leave it out of the pipeline, or set "
                "to_float32=False and color_type='color' in LoadImageFromFile."
            )
        table = LEVELS
        if random.randint(2):
            delta = random.uniform(-self.brightness_delta, self.brightness_delta)
            table = _affine(table, beta=delta)
        contrast_first = random.randint(2)
        if contrast_first:
            table = self._contrast(table)
        image = _looked_up(contiguous(image), table)
        # The picture goes back to BGR between the two colour steps: HSV is rounded, so one
        # conversion less would give other pixels.
        if random.randint(2):
            factor = random.uniform(*self.saturation_range)
            image = _in_hsv(image, 1, _affine(LEVELS, alpha=factor))
        if random.randint(2):
            shift = random.randint(-self.hue_delta, self.hue_delta)
            image = _in_hsv(image, 0, ((LEVELS.astype(int) + shift) % 180).astype(np.uint8))
        if not contrast_first:
            image = _looked_up(image, self._contrast(LEVELS))
        results["img"] = image
        return results

    def _contrast(self, levels: np.ndarray) -> np.ndarray:
        if random.randint(2):
            return _affine(levels, alpha=random.uniform(*self.contrast_range))
        return levels


def _affine(values: np.ndarray, alpha: float = 1.0, beta: float = 0.0) -> np.ndarray:
    return np.clip(values.astype(np.float32) * alpha + beta, 0, 255).astype(np.uint8)


def _looked_up(image: np.ndarray, table: np.ndarray) -> np.ndarray:
    return image if table is LEVELS else cv2.LUT(image, table)


def _in_hsv(image: np.ndarray, channel: int, table: np.ndarray) -> np.ndarray:
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    # Looking up one channel and putting it back takes a third of the time of looking up three.
    values = cv2.LUT(cv2.extractChannel(hsv, channel), table)
    return cv2.cvtColor(cv2.insertChannel(values, hsv, channel), cv2.COLOR_HSV2BGR)
