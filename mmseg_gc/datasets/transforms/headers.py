"""What an image file says of its pixels before they are decoded."""

import io
import zlib
from typing import NamedTuple

from PIL.Image import Exif
from PIL.TiffImagePlugin import ImageFileDirectory_v2

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, COLOR = 0, 2  # kinds of PNG
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
PNG_END_AT_MOST = 4096  # bytes from the end, where it is looked for first
MAX_DEFLATE = 1032  # bytes that one byte of a PNG's data can become at most
MAX_JPEG = 512  # pixels in a byte of a JPEG at most: one bit for each block of 8 x 8
BMP_PLAIN = (0, 3)  # without compression, and that with bit masks
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Tags of TIFF and two of their values.
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, SAMPLES = 256, 257, 258, 259, 262, 277
ORIENTATION = 274
EXIF_WITHIN = 1 << 16  # bytes
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
    """The header of a PNG or TIFF, and the size of a BMP, JPEG or WebP."""
    if content.startswith(SIGNATURE) and len(content) > 25:
        size = (int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big"))
        bits, kind = content[24], content[25]
        return Header(bits, PNG_CHANNELS.get(kind, 0), kind == GREY, size=size)
    if content.startswith(b"BM") and len(content) > 29:
        width, height = (
            int.from_bytes(content[at : at + 4], "little", signed=True) for at in (18, 22)
        )
        return Header(size=(abs(width), abs(height)))  # rows from the top have a negative height
    if content.startswith(b"\xff\xd8"):
        return Header(lossy="JPEG", size=_jpeg_size(content))
    if content.startswith(b"RIFF") and content[8:16] == b"WEBPVP8 ":
        return Header(lossy="lossy WebP", size=_webp_size(content))
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return Header(size=_webp_size(content))
    if content.startswith(TIFF_STARTS):
        return _read_tiff_header(content)
    return Header()


def orientation(content: bytes) -> int:
    """How the EXIF data of a JPEG says to turn it: 1, as it is, to 8."""
    # They stand at the start, in one segment of 64 KiB at most.
    start = content.find(b"Exif\0\0", 0, EXIF_WITHIN) if content.startswith(b"\xff\xd8") else -1
    if start < 0:
        return 1
    exif = Exif()
    try:
        exif.load(content[start : start + EXIF_WITHIN])
        how = exif.get(ORIENTATION, 1)
    except Exception:  # what is wrong with it, no decoder minds
        return 1
    return how if how in range(1, 9) else 1


def lacks(content: bytes, header: Header) -> str:
    """What a PNG, BMP or JPEG hasn't that it ought to; "" for whole ones and other formats.

    Their decoders don't agree on files that were cut short, and may make room for all pixels that
    a few bytes speak of. Those of other formats do agree.
    """
    width, height = header.size
    if content.startswith(SIGNATURE):
        if PNG_END not in content[-PNG_END_AT_MOST:] and PNG_END not in content:
            return "its end is missing"
        row = (width * header.bits * header.channels + 7) // 8
        if height * row > len(content) * MAX_DEFLATE:
            return f"it's too short for the {width} x {height} pixels that it claims"
    elif content.startswith(b"BM") and len(content) > 33:
        start, bits, compression = (
            int.from_bytes(content[at : at + size], "little")
            for at, size in ((10, 4), (28, 2), (30, 4))
        )
        row = (width * bits + 31) // 32 * 4
        if compression in BMP_PLAIN and start + height * row > len(content):
            return "its end is missing"
    elif header.lossy == "JPEG" and width * height > len(content) * MAX_JPEG:
        return f"it's too short for the {width} x {height} pixels that it claims"
    return ""


def require_whole_png(content: bytes, header: Header) -> None:
    """Compare a PNG's checksums, and see that it has all rows; Pillow does neither.

    Raises:
        ValueError: a checksum is wrong, or rows are missing.
        zlib.error: the rows can't be unpacked.
    """
    at, rows = len(SIGNATURE), bytearray()
    while at + 12 <= len(content):
        end = at + 8 + int.from_bytes(content[at : at + 4], "big")
        name = content[at + 4 : at + 8]
        is_critical = not name[0] & 32
        if (
            is_critical
            and zlib.crc32(content[at + 4 : end]).to_bytes(4, "big") != (content[end : end + 4])
        ):
            raise ValueError(f"the checksum of its {name.decode('latin-1')!r} is wrong")
        if name == b"IDAT":
            rows += content[at + 8 : end]
        elif name == b"IEND":
            break
        at = end + 4
    width, height = header.size
    bits = width * header.bits * header.channels
    # Rows begin with a byte of their own; interlaced ones lie otherwise, and are no fewer bytes.
    expected = height * bits // 8 if content[28] else height * (1 + (bits + 7) // 8)
    if len(zlib.decompressobj().decompress(rows, expected or 1)) < expected:
        raise ValueError("rows are missing")


def _jpeg_size(content: bytes) -> tuple[int, int]:
    """(w, h) as a JPEG's frame header says; (0, 0) where none is found."""
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xFF:  # what fills the space between two segments
            at += 1
            continue
        if 0xC0 <= marker <= 0xC7 and marker != 0xC4:  # of those with Huffman's codes
            height, width = (int.from_bytes(content[i : i + 2], "big") for i in (at + 5, at + 7))
            return width, height
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return 0, 0


def _webp_size(content: bytes) -> tuple[int, int]:
    """(w, h) as a WebP's first chunk says; (0, 0) where there is none that is known."""
    kind = content[12:16]
    if kind == b"VP8X" and len(content) >= 30:  # of the canvas
        width, height = (int.from_bytes(content[i : i + 3], "little") + 1 for i in (24, 27))
        return width, height
    if kind == b"VP8L" and len(content) >= 25:
        both = int.from_bytes(content[21:25], "little")
        return (both & 0x3FFF) + 1, (both >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and len(content) >= 30:
        width, height = (int.from_bytes(content[i : i + 2], "little") & 0x3FFF for i in (26, 28))
        return width, height
    return 0, 0


def _read_tiff_header(content: bytes) -> Header:
    file = io.BytesIO(content)
    try:
        tags = ImageFileDirectory_v2(file.read(16 if content[2] == 43 else 8))
        file.seek(tags.next)
        tags.load(file)
        lossy = tags.get(COMPRESSION) in LOSSY_COMPRESSIONS
        header = Header(
            bits=max(tags.get(BITS) or (1,)),
            channels=tags.get(SAMPLES, 1),
            is_grey=tags.get(PHOTOMETRIC) == BLACK_IS_ZERO,
            is_float=FLOAT in (tags.get(SAMPLE_FORMAT) or ()),
            has_alpha=bool(set(tags.get(EXTRA_SAMPLES) or ()) & {1, 2}),
            has_pages=bool(tags.next),
            lossy="TIFF with lossy compression" if lossy else "",
            size=(tags.get(WIDTH, 0), tags.get(HEIGHT, 0)),
        )
        numbers = (header.bits, header.channels, *header.size)
        return header if all(type(number) is int for number in numbers) else Header()
    except Exception:  # what is wrong with the file, its decoder says
        return Header()
