"""Pixels of floating images that are no numbers: nodata of a raster, a division by zero."""

import logging

import numpy as np
from mmengine.logging import print_log

_told: set[str] = set()


def count_nonfinite(image: np.ndarray) -> int:
    """How many values of ``image`` are NaN or infinite; 0 at once for integers."""
    if image.dtype.kind != "f":
        return 0
    return image.size - int(np.count_nonzero(np.isfinite(image)))


def tell_nonfinite(image: np.ndarray, source: str) -> None:
    """Warn, once for each ``source``, if ``image`` has values that are no numbers.

    `SegDataPreProcessor` sets them to the mean, in training as in a test.
    """
    count = count_nonfinite(image)
    if count and source not in _told:
        _told.add(source)
        print_log(
            f"{source}: {count} of {image.size} values are NaN or infinite and count as the mean "
            "of data_preprocessor; if they are more than a few, mend the file or take it out.",
            logger="current",
            level=logging.WARNING,
        )
