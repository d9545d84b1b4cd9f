"""Make any image one that a screen can show."""

import numpy as np


def displayable(image: np.ndarray) -> np.ndarray:
    """An image (h, w) or (h, w, c), BGR, of any type and number of channels, as RGB uint8.

    The first three channels are shown as blue, green and red, or the first alone as grey where
    there are fewer; other types than uint8 are stretched from their 1st to their 99th percentile,
    NaN and infinity shown black.
    """
    if image.ndim == 2 or image.shape[2] < 3:
        grey = image if image.ndim == 2 else image[..., 0]
        image = np.stack([grey] * 3, axis=-1)
    image = image[..., 2::-1]
    if image.dtype != np.uint8:
        levels = image.astype(np.float32)
        finite = np.isfinite(levels)
        known = levels if finite.all() else levels[finite]
        low, high = np.percentile(known, (1, 99)) if known.size else (0, 1)
        shares = np.where(finite, levels - low, 0) / max(high - low, 1e-6)
        image = (shares.clip(0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(image)


def is_displayable(image: np.ndarray) -> bool:
    """Whether ``image`` is (h, w, 3), uint8, already."""
    return image.dtype == np.uint8 and image.shape[2:] == (3,)
