"""What oneDNN keeps for every size of image that a network has seen."""

import os

VARIABLE = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
# Its default is 1024. Over 300 sizes an R18-D8 grew by 345 MB, and with this by 173 MB, in the same
# time; ten sizes of a deep network, or all views of ms+flip, have room.
CAPACITY = 256


def bound_primitives() -> None:
    """Let oneDNN keep `CAPACITY` of them, unless the user's environment says how many.

    It reads that once, when it makes the first: so this stands where the package is imported.
    """
    os.environ.setdefault(VARIABLE, str(CAPACITY))
