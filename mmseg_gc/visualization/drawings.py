"""Drawn images as files."""

from os.path import splitext

import cv2
import numpy as np

from mmseg_gc.atomic import put
from mmseg_gc.errors import UserError


def write_drawing(image: np.ndarray, path: str, backend_args: dict | None = None) -> None:
    """Write ``image``, RGB uint8 (h, w, 3), to ``path``, whose suffix says as what.

    Raises:
        UserError: the suffix is of no format, or of one that has no images of this size; or the
            file can't be written.
    """
    suffix = splitext(path)[1]
    try:
        done, content = cv2.imencode(suffix, image[..., ::-1])
    except cv2.error:
        done = False
    if not done:
        height, width = image.shape[:2]
        raise UserError(
            f"{path}: no image of {width} x {height} pixels can be written as {suffix!r}; name "
            "the file .png, or draw a smaller one."
        )
    put(content.tobytes(), path, backend_args)
