"""Read an image for a person to look at, whatever the pipeline reads it by."""

from importlib.util import find_spec

import numpy as np

from mmseg_gc.datasets.notices import is_first, warn
from mmseg_gc.datasets.transforms.decoding import decode, fetch
from mmseg_gc.datasets.transforms.headers import TIFF_STARTS, read_header
from mmseg_gc.errors import UserError


def read_for_drawing(
    path: str, size: tuple[int, int] | None = None, backend_args: dict | None = None
) -> np.ndarray:
    """(h, w) or (h, w, c), BGR: 8 bits and three channels, but what has more comes as it is.

    A loader of the user's own may read what nothing here does. With the ``size`` (h, w) that it
    found, such an image is black, which is told once: no drawing is worth stopping a test.

    Raises:
        UserError: The file can't be read, and ``size`` isn't known.
    """
    try:
        image = _read(path, backend_args)
        if size is not None and image.shape[:2] != tuple(size):
            raise UserError(f"{path} is read here as an array of shape {image.shape}.")
        return image
    except UserError as error:
        if size is None:
            raise
        if is_first(f"undrawable {path.rpartition('.')[2]}"):
            warn(f"Drawn on black, for the image can't be read for drawing: {error}")
        return np.zeros((*size, 3), np.uint8)


def _read(path: str, backend_args: dict | None) -> np.ndarray:
    content = fetch(path, backend_args)
    header = read_header(content)
    # Bands beside each other in a grey file, or one a page: OpenCV drops or refuses them.
    has_bands = header.has_pages or header.channels > 4 or (header.channels > 1 and header.is_grey)
    if has_bands and content.startswith(TIFF_STARTS) and find_spec("tifffile") is not None:
        return decode(content, path, "unchanged", "tifffile")
    is_plain = header.bits <= 8 and header.channels <= 4
    return decode(content, path, "color" if is_plain else "unchanged", "cv2")
