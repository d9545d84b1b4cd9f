"""Rotate, or turn by quarters and mirror."""

from collections.abc import Sequence

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform

from mmseg_gc.errors import UserError
from mmseg_gc.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomRotFlip(BaseTransform):
    """Rotate by an angle from ``degree`` with probability ``rotate_prob``, or else, with
    probability ``flip_prob``, turn by quarters and mirror.

    ``degree`` is (min, max), or one number for (-degree, degree). What rotation uncovers is 0, in
    labels too.

    Source: ``mmseg.datasets.transforms.RandomRotFlip``; same draws. That one rotates labels by
    interpolation, which makes ids of classes that aren't there.
    """

    def __init__(
        self,
        rotate_prob: float = 0.5,
        flip_prob: float = 0.5,
        degree: float | Sequence[float] = (-20, 20),
    ) -> None:
        degrees = (-degree, degree) if isinstance(degree, int | float) else tuple(degree)
        if not (0 <= rotate_prob <= 1 and 0 <= flip_prob <= 1):
            raise UserError(
                f"RandomRotFlip has rotate_prob={rotate_prob} and flip_prob={flip_prob}: give "
                "numbers from 0 to 1."
            )
        if len(degrees) != 2 or degrees[0] == degrees[1]:
            raise UserError(
                f"RandomRotFlip.degree is {degree}: give a number above 0, or (min, max)."
            )
        self.rotate_prob = rotate_prob
        self.flip_prob = flip_prob
        self.degree = degrees

    def transform(self, results: dict) -> dict:
        keys = ("img", *results.get("seg_fields", ()))
        rotates = np.random.random() < self.rotate_prob
        if rotates:
            angle = np.random.uniform(min(self.degree), max(self.degree))
            for key in keys:
                how = "bilinear" if key == "img" else "nearest"
                results[key] = mmcv.imrotate(results[key], angle=angle, interpolation=how)
        if np.random.random() < self.flip_prob and not rotates:
            quarters, axis = np.random.randint(0, 4), np.random.randint(0, 2)
            for key in keys:
                turned = np.flip(np.rot90(results[key], quarters), axis=axis)
                results[key] = np.ascontiguousarray(turned)
            results["img_shape"] = results["img"].shape[:2]
        return results
