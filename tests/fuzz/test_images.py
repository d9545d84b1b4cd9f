"""Damaged, odd and hostile image files: their pixels, or one sentence, whichever decoder reads."""

import io
import os
import random
import struct
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from harness import fuzz, fuzz_in_child, run_child
from PIL import Image

from mmseg_gc.datasets.transforms import LoadImageFromFile
from mmseg_gc.datasets.transforms.decoding import decode
from mmseg_gc.errors import UserError

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")
READERS = (("color", "cv2"), ("unchanged", "cv2"), ("color", "pillow"), ("unchanged", "pillow"))


@cache
def pixels(mode: str, size: tuple[int, int] = (23, 17)) -> Image.Image:
    """An image of (w, h) with flat and with noisy parts."""
    rng = np.random.default_rng(7)
    colours = np.kron(rng.integers(0, 256, (3, 4, 3)), np.ones((9, 9, 1))).astype(np.uint8)
    colours[5:9] = rng.integers(0, 256, (4, 36, 3))
    image = Image.fromarray(colours).resize(size, Image.Resampling.NEAREST)
    if mode == "I;16":
        return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    if mode == "F":
        levels = np.asarray(image.convert("L")).astype(np.float32)
        levels.flat[:3] = (np.nan, np.inf, -np.inf)[: levels.size]
        return Image.fromarray(levels)
    if mode == "1":
        return image.convert("L").point(lambda level: 255 * (level > 99)).convert("1")
    return image.convert(mode)


def encoded(rng: random.Random, kind: str, size: tuple[int, int] = (23, 17)) -> bytes:
    modes = {
        "PNG": ("RGB", "L", "P", "RGBA", "LA", "I;16", "1"),
        "JPEG": ("RGB", "L", "CMYK"),
        "TIFF": ("RGB", "L", "CMYK", "I;16", "F", "1"),
        "BMP": ("RGB", "L", "P", "1"),
        "WEBP": ("RGB", "RGBA"),
    }
    options = {
        "JPEG": [{}, dict(progressive=True), dict(quality=100)],
        "TIFF": [{}, dict(compression="tiff_lzw"), dict(compression="tiff_adobe_deflate")],
        "WEBP": [{}, dict(lossless=True)],
    }.get(kind, [{}])
    content = io.BytesIO()
    pixels(rng.choice(modes[kind]), size).save(content, kind, **rng.choice(options))
    return content.getvalue()


def whole(rng: random.Random, kind: str) -> bytes:
    return encoded(rng, kind, rng.choice(((1, 1), (1, 300), (300, 1), (23, 17))))


def flipped(rng: random.Random, kind: str) -> bytes:
    content = bytearray(encoded(rng, kind))
    for _ in range(rng.choice((1, 1, 2, 20))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


def flipped_header(rng: random.Random, kind: str) -> bytes:
    content = bytearray(encoded(rng, kind))
    content[rng.randrange(min(64, len(content)))] = rng.choice((0, 1, 127, 128, 255))
    return bytes(content)


def cut(rng: random.Random, kind: str) -> bytes:
    content = encoded(rng, kind)
    start, stop = sorted(rng.randrange(len(content)) for _ in range(2))
    return rng.choice(
        (
            content[:-1],
            content[:-2],
            content[:-12],
            content[:start],
            content[:start] + content[stop:],
            content[:start] + bytes(stop - start) + content[stop:],
            content + content[:start],
        )
    )


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def claimed(rng: random.Random, kind: str) -> bytes:
    """A file of a few bytes that says it has far more pixels, or none."""
    side = rng.choice((0, 1, 5000, 30_000, 65_535, 100_000, 200_000, 2**31 - 1, 2**32 - 1))
    width, height = rng.choice(((side, side), (side, 1), (1, side)))
    if kind == "PNG":
        depth, mode, woven = (rng.choice(values) for values in ((1, 8, 16), (0, 2, 3, 6), (0, 1)))
        parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, mode, 0, 0, woven))]
        if mode == 3:
            parts.append(chunk(b"PLTE", bytes(6)))
        data = zlib.compress(bytes(rng.choice((0, 100, 1 << 20))))
        parts += [chunk(b"IDAT", data), chunk(b"IEND", b"")]
        return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
    content = bytearray(encoded(rng, kind))
    if kind == "JPEG":
        at = max(content.find(b"\xff\xc0"), content.find(b"\xff\xc2"))
        content[at + 5 : at + 9] = struct.pack(">HH", height & 0xFFFF, width & 0xFFFF)
    elif kind == "BMP":
        content[18:26] = struct.pack("<II", width & 0xFFFFFFFF, height & 0xFFFFFFFF)
    elif kind == "TIFF":
        at = struct.unpack("<I", content[4:8])[0]
        for entry in range(at + 2, at + 2 + 12 * content[at], 12):
            tag = struct.unpack("<H", content[entry : entry + 2])[0]
            if tag in (256, 257):
                side = width if tag == 256 else height
                content[entry + 2 : entry + 12] = struct.pack("<HII", 4, 1, side & 0xFFFFFFFF)
    else:
        place = content.find(b"VP8")
        content[place + 14 : place + 18] = struct.pack("<HH", width & 0x3FFF, height & 0x3FFF)
    return bytes(content)


def unlike(rng: random.Random, kind: str) -> bytes:
    return rng.choice(
        [
            b"",
            b"\x89PNG\r\n\x1a\n",
            b"\xff\xd8",
            b"BM",
            b"II*\0",
            b"RIFF\0\0\0\0WEBP",
            rng.randbytes(500),
            b"<html>",
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(planted) (w) file\n%%EOF\n",
            b"GIF89a" + struct.pack("<HH", 65535, 65535) + bytes(40),
            b"P6 100000 100000 255\n" + bytes(99),
            b"P5 0 0 255\n",
            b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 100000 +X 100000\n",
            b"icns" + struct.pack(">I", 99) + bytes(91),
            b"8BPS" + bytes(60),
            b"SIMPLE  =                    T" + bytes(2850),
            b"\0\0\1\0\1\0" + bytes(60),
            encoded(rng, rng.choice(FORMATS)),
        ]
    )


KINDS = (whole, flipped, flipped, flipped_header, cut, cut, claimed, unlike)


def read(content: bytes, path: Path, flag: str, backend: str) -> np.ndarray | None:
    """The pixels; None for a sentence."""
    try:
        image = decode(content, str(path), flag, backend)
    except UserError as error:
        assert "\n" not in str(error) and len(str(error)) < 700, str(error)
        return None
    assert isinstance(image, np.ndarray) and image.ndim in (2, 3) and image.size
    return image


def difference(first: np.ndarray, second: np.ndarray) -> float:
    if first.shape != second.shape:
        return np.inf
    return float(np.abs(first.astype(np.float32) - second.astype(np.float32)).max())


def case(number: int, folder: Path) -> str:
    rng = random.Random(number)
    make, kind = KINDS[number % len(KINDS)], rng.choice(FORMATS)
    content = make(rng, kind)
    path = folder / f"a.{rng.choice((kind, kind, 'png', 'jpg')).lower()}"
    path.write_bytes(content)
    told = f"{make.__name__} {kind}"
    images = [read(content, path, *reader) for reader in READERS]
    if make is whole:
        assert images[0] is not None or images[1] is not None, f"{told} is refused"
    from_cv2, from_pillow = images[0], images[2]
    # What is damaged in a BMP, which has no checksums, may mean this or that.
    if content.startswith(b"\x89PNG") or (content.startswith(b"BM") and make in (whole, cut)):
        known = [image is not None for image in (from_cv2, from_pillow)]
        told += f", read by OpenCV, Pillow: {known}"
        assert known[0] == known[1] or content[24:26] == b"\x10\0", told
        if all(known):
            assert difference(from_cv2, from_pillow) == 0, told
    try:
        LoadImageFromFile()({"img_path": str(path)})
    except UserError:
        assert from_cv2 is None, told
        raise
    assert from_cv2 is not None, told
    return "read"


def test_a_sample():
    outcomes = fuzz(case, 0, 48)
    assert outcomes["refused"] > 15 and outcomes["read"] > 8


def test_what_is_no_regular_file(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    for path in (tmp_path / "a.png", Path("/dev/zero"), tmp_path):
        with pytest.raises(UserError, match="only regular files are read"):
            LoadImageFromFile()({"img_path": str(path)})


@pytest.mark.slow
def test_a_thousand():
    outcomes = fuzz_in_child(__file__, 48, 1080)
    assert outcomes["refused"] > 300 and outcomes["read"] > 200


if __name__ == "__main__":
    run_child(case)
