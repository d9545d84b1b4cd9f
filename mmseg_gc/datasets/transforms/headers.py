"""What an image file says of its pixels before they are decoded."""

import io
from typing import NamedTuple

from PIL.TiffImagePlugin import ImageFileDirectory_v2

from mmseg_gc.datasets.transforms.png import GREY, SIGNATURE

TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Tags of TIFF and two of their values.
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, SAMPLES = 256, 257, 258, 259, 262, 277
EXTRA_SAMPLES, SAMPLE_FORMAT = 338, 339
BLACK_IS_ZERO, FLOAT = 1, 3
LOSSY_COMPRESSIONS = {6, 7, 34892, 50001, 50002}  # JPEG, lossy JPEG, WebP, JPEG XL


class Header(NamedTuple):
    """``bits`` and ``channels`` of a pixel; ``is_grey``: every channel is an amount of light.

    ``lossy`` names a format whose compression changes pixels.
    """

    bits: int = 8
    channels: int = 0  # unknown
    is_grey: bool = False
    is_float: bool = False
    has_alpha: bool = False
    has_pages: bool = False
    lossy: str = ""
    size: tuple[int, int] = (0, 0)  # (w, h)


def read_header(content: bytes) -> Header:
    """The header of a PNG or TIFF, and of a JPEG or WebP whether it is lossy."""
    if content.startswith(SIGNATURE) and len(content) > 25:
        size = (int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big"))
        bits, kind = content[24], content[25]
        return Header(bits, PNG_CHANNELS.get(kind, 0), kind == GREY, size=size)
    if content.startswith(b"\xff\xd8"):
        return Header(lossy="JPEG")
    if content.startswith(b"RIFF") and content[8:16] == b"WEBPVP8 ":
        return Header(lossy="lossy WebP")
    if content.startswith(TIFF_STARTS):
        return _read_tiff_header(content)
    return Header()


def _read_tiff_header(content: bytes) -> Header:
    file = io.BytesIO(content)
    try:
        tags = ImageFileDirectory_v2(file.read(16 if content[2] == 43 else 8))
        file.seek(tags.next)
        tags.load(file)
        lossy = tags.get(COMPRESSION) in LOSSY_COMPRESSIONS
        return Header(
            bits=max(tags.get(BITS) or (1,)),
            channels=tags.get(SAMPLES, 1),
            is_grey=tags.get(PHOTOMETRIC) == BLACK_IS_ZERO,
            is_float=FLOAT in (tags.get(SAMPLE_FORMAT) or ()),
            has_alpha=bool(set(tags.get(EXTRA_SAMPLES) or ()) & {1, 2}),
            has_pages=bool(tags.next),
            lossy="TIFF with lossy compression" if lossy else "",
            size=(tags.get(WIDTH, 0), tags.get(HEIGHT, 0)),
        )
    except Exception:  # what is wrong with the file, its decoder says
        return Header()
