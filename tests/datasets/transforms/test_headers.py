"""What is read from a header is what the decoder finds."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from mmseg_gc.datasets.transforms.headers import Header, orientation, read_header

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 4), dtype=np.uint8)


def encoded(suffix: str, pixels: np.ndarray, *options: int) -> bytes:
    return cv2.imencode(suffix, pixels, options)[1].tobytes()


def saved(kind: str, mode: str, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS[..., :3].copy()).convert(mode).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "bits", "channels", "grey"),
    [
        (encoded(".png", PIXELS[..., 0]), 8, 1, True),
        (encoded(".png", PIXELS[..., :3]), 8, 3, False),
        (encoded(".png", PIXELS), 8, 4, False),
        (encoded(".png", PIXELS[..., 0].astype(np.uint16)), 16, 1, True),
        (saved("PNG", "P"), 8, 1, False),
        (saved("PNG", "LA"), 8, 2, False),
        (encoded(".tif", PIXELS[..., 0]), 8, 1, True),
        (encoded(".tif", PIXELS[..., :3]), 8, 3, False),
        (encoded(".tif", PIXELS[..., :3].astype(np.uint16)), 16, 3, False),
    ],
)
def test_pixels(content, bits, channels, grey):
    header = read_header(content)
    assert (header.bits, header.channels, header.is_grey) == (bits, channels, grey)
    assert header.size == (7, 5) and not header.lossy


def test_floats_and_alpha():
    floats = read_header(encoded(".tif", PIXELS[..., 0].astype(np.float32)))
    assert floats.is_float and floats.bits == 32
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "TIFF")
    assert read_header(file.getvalue()).has_alpha
    assert not read_header(encoded(".tif", PIXELS[..., :3])).has_alpha


def test_pages():
    pages, file = [Image.fromarray(PIXELS[..., i].copy()) for i in range(3)], io.BytesIO()
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    assert read_header(file.getvalue()).has_pages
    assert not read_header(encoded(".tif", PIXELS[..., 0])).has_pages


@pytest.mark.parametrize(
    ("content", "lossy"),
    [
        (saved("JPEG", "RGB"), "JPEG"),
        (saved("WEBP", "RGB", quality=80), "lossy WebP"),
        (saved("WEBP", "RGB", lossless=True), ""),
        (saved("TIFF", "RGB", compression="jpeg"), "TIFF with lossy compression"),
        (saved("TIFF", "RGB", compression="tiff_lzw"), ""),
    ],
)
def test_formats_that_change_pixels(content, lossy):
    assert read_header(content).lossy == lossy


@pytest.mark.parametrize(("suffix", "cut"), [(".png", 9), (".png", 25), (".tif", 4), (".tif", 0)])
def test_what_is_cut_short_is_left_to_the_decoder(suffix, cut):
    assert read_header(encoded(suffix, PIXELS)[:cut]) == Header()


@pytest.mark.parametrize("how", [1, 3, 6])
def test_orientation_of_a_jpeg(how):
    exif, file = Image.Exif(), io.BytesIO()
    exif[274] = how
    Image.new("RGB", (8, 8)).save(file, "JPEG", exif=exif)
    assert orientation(file.getvalue()) == how
    broken = file.getvalue().replace(b"Exif\0\0MM", b"Exif\0\0XX").replace(b"\0\0II", b"\0\0XX")
    assert orientation(broken) == 1
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG")
    assert orientation(file.getvalue()) == 1


@pytest.mark.parametrize("options", [dict(quality=80), dict(lossless=True), dict(exif=b"Exif")])
def test_size_of_a_webp(options):
    content = io.BytesIO()
    Image.new("RGB", (300, 17)).save(content, "WEBP", **options)
    assert read_header(content.getvalue()).size == (300, 17)
    assert read_header(content.getvalue()[:18]).size == (0, 0)
