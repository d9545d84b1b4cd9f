"""Blank regions of an image."""

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from mmseg_gc.errors import UserError
from mmseg_gc.registry import TRANSFORMS

Pair = tuple[float, float]
Hole = tuple[slice, slice]


@TRANSFORMS.register_module()
class RandomCutOut(BaseTransform):
    """With probability ``prob`` fill ``n_holes`` regions, or a number from (min, max), of ``img``.

    Each begins at any pixel and has one of ``cutout_shape``, (w, h) in pixels, or of
    ``cutout_ratio``, (w, h) as shares of the image; what passes the border is left away. ``img``
    is filled with ``fill_in``, one value a channel, and labels with ``seg_fill_in``, or not at all.

    Source: arXiv:1708.04552; ``mmseg.datasets.transforms.RandomCutOut``; same draws.
    """

    def __init__(
        self,
        prob: float,
        n_holes: int | Sequence[int],
        cutout_shape: Pair | Sequence[Pair] | None = None,
        cutout_ratio: Pair | Sequence[Pair] | None = None,
        fill_in: Sequence[float] = (0, 0, 0),
        seg_fill_in: int | None = None,
    ) -> None:
        if not 0 <= prob <= 1:
            raise UserError(f"RandomCutOut.prob is {prob}: give a number from 0 to 1.")
        if (cutout_shape is None) == (cutout_ratio is None):
            raise UserError("RandomCutOut takes cutout_shape or cutout_ratio: give one of both.")
        holes = (n_holes, n_holes) if isinstance(n_holes, int) else tuple(n_holes)
        if len(holes) != 2 or not 0 <= holes[0] <= holes[1]:
            raise UserError(f"RandomCutOut.n_holes is {n_holes}: give a number, or (min, max).")
        if seg_fill_in is not None and not 0 <= seg_fill_in <= 255:
            raise UserError(f"RandomCutOut.seg_fill_in is {seg_fill_in}: give an id of 0 to 255.")
        self.prob = prob
        self.n_holes = holes
        self.fill_in = tuple(fill_in)
        self.seg_fill_in = seg_fill_in
        self.with_ratio = cutout_ratio is not None
        self.candidates = _pairs(cutout_ratio if cutout_shape is None else cutout_shape)

    @cache_randomness
    def do_cutout(self) -> bool:
        return np.random.rand() < self.prob

    @cache_randomness
    def draw_holes(self, height: int, width: int) -> list[Hole]:
        """Where an image of this size is filled."""
        if not self.do_cutout():
            return []
        holes = []
        for _ in range(np.random.randint(self.n_holes[0], self.n_holes[1] + 1)):
            left, top = np.random.randint(0, width), np.random.randint(0, height)
            w, h = self.candidates[np.random.randint(0, len(self.candidates))]
            if self.with_ratio:
                w, h = int(w * width), int(h * height)
            holes.append((slice(top, top + int(h)), slice(left, left + int(w))))
        return holes

    def transform(self, results: dict) -> dict:
        holes = self.draw_holes(*results["img"].shape[:2])
        if not holes:
            return results
        fills = {"img": self.fill_in if results["img"].ndim == 3 else self.fill_in[0]}
        if self.seg_fill_in is not None:
            fills |= dict.fromkeys(results.get("seg_fields", ()), self.seg_fill_in)
        for key, fill in fills.items():
            results[key] = results[key].copy()  # it may be a file's own memory
            for hole in holes:
                results[key][hole] = fill
        return results


def _pairs(given: Pair | Sequence[Pair] | None) -> list[Pair]:
    """A list of pairs, from one pair or several."""
    pairs = [given] if given and isinstance(given[0], int | float) else list(given or ())
    if not pairs or any(len(pair) != 2 for pair in pairs):  # type: ignore[arg-type]
        raise UserError(f"RandomCutOut's regions are {given}: give (w, h), or a list of them.")
    return pairs  # type: ignore[return-value]
