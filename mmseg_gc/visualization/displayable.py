"""Make any picture one that a screen can show."""

import numpy as np


def displayable(picture: np.ndarray) -> np.ndarray:
    """A picture (h, w) or (h, w, c), BGR, of any type and number of channels, as RGB uint8.

    The first three channels are shown as blue, green and red, or the first alone as grey where
    there are fewer; other types than uint8 are stretched from their 1st to their 99th percentile,
    NaN and infinity shown black.
    """
    if picture.ndim == 2 or picture.shape[2] < 3:
        grey = picture if picture.ndim == 2 else picture[..., 0]
        picture = np.stack([grey] * 3, axis=-1)
    picture = picture[..., 2::-1]
    if picture.dtype != np.uint8:
        levels = picture.astype(np.float32)
        finite = np.isfinite(levels)
        known = levels if finite.all() else levels[finite]
        low, high = np.percentile(known, (1, 99)) if known.size else (0, 1)
        levels = np.where(finite, levels - low, 0) / max(high - low, 1e-6)
        picture = (levels.clip(0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(picture)


def is_displayable(picture: np.ndarray) -> bool:
    """Whether ``picture`` is (h, w, 3), uint8, already."""
    return picture.dtype == np.uint8 and picture.shape[2:] == (3,)
