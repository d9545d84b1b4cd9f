"""Change brightness, contrast, saturation and hue at random."""

from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from numpy import random

from mmseg_gc.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PhotoMetricDistortion(BaseTransform):
    """Distort ``img`` (h, w, 3), BGR: brightness, contrast, saturation, hue, each with p = 0.5.

    ``brightness_delta`` is in grey levels, ``hue_delta`` in steps of two degrees; the ranges are
    factors. Contrast comes before or after the two colour steps, by another coin. On uint8 each
    step is one table look-up, bit for bit what the arithmetic in float32 gives.

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
        if random.randint(2):
            delta = random.uniform(-self.brightness_delta, self.brightness_delta)
            image = _affine(image, beta=delta)
        contrast_first = random.randint(2)
        if contrast_first:
            image = self._contrast(image)
        if random.randint(2):
            hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
            hsv[..., 1] = _affine(hsv[..., 1], alpha=random.uniform(*self.saturation_range))
            image = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
        if random.randint(2):
            # The picture goes back to BGR between the two colour steps: HSV is rounded, so one
            # conversion less would give other pixels.
            hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
            shift = random.randint(-self.hue_delta, self.hue_delta)
            hsv[..., 0] = (hsv[..., 0].astype(int) + shift) % 180
            image = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
        if not contrast_first:
            image = self._contrast(image)
        results["img"] = image
        return results

    def _contrast(self, image: np.ndarray) -> np.ndarray:
        if random.randint(2):
            image = _affine(image, alpha=random.uniform(*self.contrast_range))
        return image


def _affine(values: np.ndarray, alpha: float = 1.0, beta: float = 0.0) -> np.ndarray:
    """``values * alpha + beta``, clipped to uint8."""
    if values.dtype == np.uint8:
        return cv2.LUT(values, _affine(np.arange(256, dtype=np.float32), alpha, beta))
    return np.clip(values.astype(np.float32) * alpha + beta, 0, 255).astype(np.uint8)
