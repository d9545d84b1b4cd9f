"""Make any picture one that a screen can show."""

import numpy as np


def displayable(picture: np.ndarray) -> np.ndarray:
    """A picture (h, w) or (h, w, c), BGR, of any type and number of channels, as RGB uint8.

    More than three channels are cut to the first three; other types than uint8 are stretched from
    their 1st to their 99th percentile.
    """
    if picture.ndim == 2 or picture.shape[2] < 3:
        grey = picture if picture.ndim == 2 else picture[..., 0]
        picture = np.stack([grey] * 3, axis=-1)
    picture = picture[..., 2::-1]
    if picture.dtype != np.uint8:
        low, high = np.percentile(picture, (1, 99))
        levels = (picture.astype(np.float32) - low) / max(high - low, 1e-6)
        picture = (levels.clip(0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(picture)
