"""Decode plain PNG files faster than OpenCV does, where kornia-rs is installed."""

from functools import cache
from importlib.util import find_spec

import cv2
import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Chunks that change what OpenCV or Pillow makes of the pixels: transparency, turning, animation.
CHANGING = (b"tRNS", b"eXIf", b"acTL")
GREY, COLOR = 0, 2


def decode_png(content: bytes, flag: str) -> np.ndarray | None:
    """The pixels of a PNG of 8 bits, uint8: colour as (h, w, 3), BGR, grey as (h, w).

    None for any other file, a damaged one, grey with ``flag="color"``, and without kornia-rs: then
    the usual decoder has to judge. The pixels are the same bit for bit.

    Source: ``mmcv.imfrombytes`` with ``flag`` "color" or "unchanged".
    """
    if flag not in ("color", "unchanged") or not content.startswith(SIGNATURE) or not _has_kornia():
        return None
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    depth, kind, interlaced = content[24], content[25], content[28]
    wanted = (COLOR,) if flag == "color" else (COLOR, GREY)
    if depth != 8 or interlaced or kind not in wanted or _is_special(content):
        return None
    from kornia_rs.io import decode_image_png_u8

    mode = "rgb" if kind == COLOR else "mono"
    try:
        image = decode_image_png_u8(content, (height, width), mode)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # a panic in Rust is no `Exception`
        return None
    return cv2.cvtColor(image, cv2.COLOR_RGB2BGR, dst=image) if kind == COLOR else image[..., 0]


def _is_special(content: bytes) -> bool:
    """Whether a chunk before the pixels changes them."""
    at = len(SIGNATURE)
    while at + 8 <= len(content):
        name = content[at + 4 : at + 8]
        if name in CHANGING:
            return True
        if name == b"IDAT":
            return False
        at += 12 + int.from_bytes(content[at : at + 4], "big")
    return True


@cache
def _has_kornia() -> bool:
    return find_spec("kornia_rs") is not None
