"""Change brightness, contrast, saturation and hue at random."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from numpy import random

from mmseg_gc.datasets.transforms.formatting import contiguous
from mmseg_gc.errors import UserError
from mmseg_gc.registry import TRANSFORMS

LEVELS = np.arange(256, dtype=np.uint8)
BAND = 32  # rows


@TRANSFORMS.register_module()
class PhotoMetricDistortion(BaseTransform):
    """Distort ``img`` (h, w, 3), BGR: brightness, contrast, saturation, hue, each with p = 0.5.

    ``brightness_delta`` is in grey levels, ``hue_delta`` in steps of two degrees; the ranges are
    factors. Contrast comes before or after the two colour steps, by another coin. Steps are table
    look-ups, bit for bit what arithmetic in float32 on every pixel gives.

    Raises:
        UserError: The image has not 8 bits and 3 channels.

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
        self.contrast_range: Any = tuple(contrast_range)  # two numbers, low and high
        self.saturation_range: Any = tuple(saturation_range)
        self.hue_delta = hue_delta

    def transform(self, results: dict) -> dict:
        image = results["img"]
        if image.dtype != np.uint8 or image.shape[2:] != (3,):
            raise UserError(
                f"PhotoMetricDistortion needs 8-bit colour images, but {results.get('img_path')} "
                f"is {image.dtype} of shape {image.shape}: leave it out of the pipeline, or set "
                "to_float32=False and color_type='color' in LoadImageFromFile."
            )
        steps: list[tuple[int | None, np.ndarray]] = []  # channel of HSV, or None, and its table
        table = LEVELS
        if random.randint(2):
            delta = random.uniform(-self.brightness_delta, self.brightness_delta)
            table = _affine(table, beta=delta)
        contrast_first = random.randint(2)
        if contrast_first:
            table = self._contrast(table)
        steps.append((None, table))
        # The image goes back to BGR between the two colour steps: HSV is rounded, so one
        # conversion less would give other pixels.
        if random.randint(2):
            steps.append((1, _affine(LEVELS, alpha=random.uniform(*self.saturation_range))))
        if random.randint(2):
            shift = random.randint(-self.hue_delta, self.hue_delta)
            steps.append((0, ((LEVELS.astype(int) + shift) % 180).astype(np.uint8)))
        if not contrast_first:
            steps.append((None, self._contrast(LEVELS)))
        results["img"] = _looked_up(contiguous(image), steps)
        return results

    def _contrast(self, levels: np.ndarray) -> np.ndarray:
        if random.randint(2):
            return _affine(levels, alpha=random.uniform(*self.contrast_range))
        return levels


def _affine(values: np.ndarray, alpha: float = 1.0, beta: float = 0.0) -> np.ndarray:
    return np.clip(values.astype(np.float32) * alpha + beta, 0, 255).astype(np.uint8)


def _looked_up(image: np.ndarray, steps: Sequence[tuple[int | None, np.ndarray]]) -> np.ndarray:
    """``image`` after all ``steps``, a band at a time: what a band needs stays in the cache."""
    steps = [(channel, table) for channel, table in steps if table is not LEVELS]
    if not steps:
        return image
    out = np.empty(image.shape, np.uint8)
    hsv = np.empty((BAND, *image.shape[1:]), np.uint8)
    for top in range(0, len(image), BAND):
        source, target = image[top : top + BAND], out[top : top + BAND]
        for channel, table in steps:
            if channel is None:
                cv2.LUT(source, table, dst=target)
            else:
                _look_up_in_hsv(source, channel, table, hsv[: len(source)], target)
            source = target
    return out


def _look_up_in_hsv(
    source: np.ndarray, channel: int, table: np.ndarray, hsv: np.ndarray, target: np.ndarray
) -> None:
    cv2.cvtColor(source, cv2.COLOR_BGR2HSV, dst=hsv)
    # Looking up one channel and putting it back takes a third of the time of looking up three.
    cv2.insertChannel(cv2.LUT(cv2.extractChannel(hsv, channel), table), hsv, channel)
    cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR, dst=target)
