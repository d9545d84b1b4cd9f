"""What oneDNN keeps for every size of image that a network has seen, and MKL for every thread."""

import os

VARIABLE = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
# Its default is 1024. Over 300 sizes an R18-D8 grew by 345 MB, and with this by 173 MB, in the same
# time; ten sizes of a deep network, or all views of ms+flip, have room.
CAPACITY = 256
# MKL's products keep the buffers that they pack matrices into, 18 MiB of an R50, unless it is set.
# Packing into fresh ones took no more time.
BUFFERS = "MKL_DISABLE_FAST_MM"


def bound_primitives() -> None:
    """Let oneDNN keep `CAPACITY` of them, and MKL no buffers, unless the user's environment speaks.

    Both read that once, when they first compute: so this stands where the package is imported.
    """
    os.environ.setdefault(VARIABLE, str(CAPACITY))
    os.environ.setdefault(BUFFERS, "1")
