"""Bands, bits, sizes and formats of image files, against arrays that were written."""

import os
import struct
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

from mmseg_gc.datasets.transforms import LoadAnnotations, LoadImageFromFile
from mmseg_gc.datasets.transforms import decoding as decoding_module
from mmseg_gc.datasets.transforms import loading as loading_module
from mmseg_gc.datasets.transforms.decoding import levels_lost, read_image
from mmseg_gc.datasets.transforms.drawing import read_for_drawing
from mmseg_gc.datasets.transforms.headers import read_header
from mmseg_gc.errors import UserError


@pytest.fixture
def warnings(monkeypatch) -> list[str]:
    said = []
    monkeypatch.setattr(loading_module, "warn", said.append)
    return said


def load_label(path: Path, backend: str = "pillow", **results) -> np.ndarray:
    load = LoadAnnotations(imdecode_backend=backend)
    return load({"seg_map_path": str(path), "img_path": "x.jpg", **results})["gt_seg_map"]


def grey_png(ids: np.ndarray, bits: int) -> bytes:
    """A grey PNG of ``bits`` a pixel, put together by hand."""
    height, width = ids.shape
    rows = b""
    for row in ids:
        text = "".join(f"{value:0{bits}b}" for value in row)
        text += "0" * (-len(text) % 8)
        rows += b"\0" + int(text, 2).to_bytes(len(text) // 8, "big")
    content = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    for name, part in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        content += struct.pack(">I", len(part)) + name + part
        content += struct.pack(">I", zlib.crc32(name + part))
    return content


@pytest.mark.parametrize("backend", ["pillow", "cv2"])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_grey_labels_of_few_bits_hold_their_ids(tmp_path, bits, backend):
    ids = np.random.default_rng(0).integers(0, 2 ** min(bits, 4), (5, 7)).astype(np.uint8)
    (tmp_path / "label.png").write_bytes(grey_png(ids, bits))
    assert (load_label(tmp_path / "label.png", backend, num_classes=16) == ids).all()


@pytest.mark.parametrize("quality", [60, 100])
def test_jpeg_labels_are_told_once(tmp_path, warnings, quality):
    ids = np.random.default_rng(0).integers(0, 4, (9, 9)).astype(np.uint8).repeat(5, 0).repeat(5, 1)
    for name in ("a.jpg", "b.jpg"):
        Image.fromarray(ids).save(tmp_path / name, quality=quality)
    assert (load_label(tmp_path / "a.jpg") != ids).any()
    load_label(tmp_path / "b.jpg")
    (said,) = warnings
    assert "a.jpg is a JPEG, whose compression changes the ids" in said
    with pytest.raises(UserError, match=r"is a JPEG, .* outside the 2 classes: .* as PNG"):
        load_label(tmp_path / "a.jpg", num_classes=2)


def test_lossy_formats_are_told_from_lossless_ones(tmp_path):
    pixels = np.zeros((16, 16, 3), np.uint8)
    for name, options in {
        "a.jpg": {},
        "a.webp": {"lossless": False},
        "b.webp": {"lossless": True},
        "a.png": {},
        "a.tif": {"compression": "jpeg"},
        "b.tif": {"compression": "tiff_lzw"},
    }.items():
        Image.fromarray(pixels).save(tmp_path / name, **options)
    lossy = {p.name for p in tmp_path.iterdir() if read_header(p.read_bytes()).lossy}
    assert lossy == {"a.jpg", "a.webp", "a.tif"}


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_lost_bits_are_told_once_and_counted(tmp_path, warnings, suffix):
    pixels = np.random.default_rng(0).integers(0, 4096, (20, 30, 3)).astype(np.uint16)
    for name in "ab":
        cv2.imwrite(str(tmp_path / f"{name}.{suffix}"), pixels)
    path = tmp_path / f"a.{suffix}"
    image = LoadImageFromFile()({"img_path": str(path)})["img"]
    LoadImageFromFile()({"img_path": str(tmp_path / f"b.{suffix}")})
    assert np.abs(image.astype(int) - pixels // 257.0).max() <= 1
    counts = len(np.unique(image)), len(np.unique(pixels))
    assert counts[0] <= 17 < 1000 < counts[1]
    assert levels_lost(path.read_bytes(), str(path), image) == counts
    (said,) = warnings
    assert f"{counts[1]} levels become {counts[0]}; set color_type='unchanged'" in said
    whole = LoadImageFromFile(color_type="unchanged")({"img_path": str(path)})["img"]
    assert (whole == pixels).all() and len(warnings) == 1


def test_eight_bits_lose_nothing(tmp_path, warnings):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    for suffix in ("png", "tif", "jpg", "bmp"):
        cv2.imwrite(str(tmp_path / f"a.{suffix}"), pixels)
        LoadImageFromFile()({"img_path": str(tmp_path / f"a.{suffix}")})
    assert warnings == []


def test_floats_need_the_pixels_unchanged(tmp_path):
    pixels = np.random.default_rng(0).random((6, 8, 3)).astype(np.float32)
    path = str(tmp_path / "a.tif")
    cv2.imwrite(path, pixels)
    with pytest.raises(UserError, match=r"a\.tif holds floats of 32 bits.*color_type='unchanged'"):
        read_image(path, "color", "cv2", None)
    assert (read_image(path, "unchanged", "cv2", None) == pixels).all()
    assert (read_for_drawing(path) == pixels).all()


def write_bands(path: Path, pixels: np.ndarray) -> None:
    """A grey TIFF of several bands, interleaved, put together by hand."""
    height, width, bands = pixels.shape
    fields = [
        (256, 3, 1, width), (257, 3, 1, height), (258, 3, bands, 8 + 2 + 9 * 12 + 4),
        (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 400), (277, 3, 1, bands),
        (278, 3, 1, height), (279, 4, 1, pixels.nbytes),
    ]  # fmt: skip
    content = b"II*\0" + struct.pack("<IH", 8, len(fields))
    content += b"".join(struct.pack("<HHII", *field) for field in fields) + struct.pack("<I", 0)
    content += struct.pack(f"<{bands}H", *[8] * bands)
    path.write_bytes(content.ljust(400, b"\0") + pixels.tobytes())


def test_bands_that_opencv_would_drop_are_told(tmp_path):
    path = tmp_path / "bands.tif"
    for bands, sentence in ((4, "has 4 bands, of which OpenCV"), (7, "has 7 bands, which cv2")):
        write_bands(path, np.zeros((8, 9, bands), np.uint8))
        assert read_header(path.read_bytes())[:3] == (8, bands, True)
        for flag in ("color", "unchanged"):
            with pytest.raises(UserError, match=rf"{sentence}.*imdecode_backend='tifffile'"):
                read_image(str(path), flag, "cv2", None)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("bands", [2, 5, 10])
@pytest.mark.parametrize("layout", ["as it is", "pages", "contig", "separate"])
def test_tiff_of_any_layout_is_rows_columns_bands(tmp_path, dtype, bands, layout):
    tifffile = pytest.importorskip("tifffile")
    pixels = (np.random.default_rng(0).random((48, 70, bands)) * 200).astype(dtype)
    path = str(tmp_path / "bands.tif")
    first = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    if layout in ("as it is", "pages"):
        tifffile.imwrite(path, pixels if layout == "as it is" else first)
    else:
        stored = pixels if layout == "contig" else first
        tifffile.imwrite(path, stored, planarconfig=layout, photometric="minisblack")
    assert (read_image(path, "unchanged", "tifffile", None) == pixels).all()


class StandIn:
    """A file as tifffile shows it: one array and the meaning of its axes."""

    array: np.ndarray
    axes: str

    def __init__(self, _):
        self.series = [SimpleNamespace(asarray=lambda: self.array, axes=self.axes)]

    def __enter__(self):
        return self

    def __exit__(self, *_): ...


def test_axes_of_every_layout_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "tifffile", SimpleNamespace(TiffFile=StandIn))

    def read(array, axes):
        monkeypatch.setattr(StandIn, "array", array, raising=False)
        monkeypatch.setattr(StandIn, "axes", axes, raising=False)
        return decoding_module._read_tiff(b"")

    pixels = np.random.default_rng(0).random((48, 70, 10))
    first = pixels.transpose(2, 0, 1)
    for array, axes in (
        (pixels, "YXS"), (first, "SYX"), (pixels, "QYX"), (first, "QYX"), (first, "IYX"),
        (first[None], "TCYX"),
    ):  # fmt: skip
        assert (read(array, axes) == pixels).all(), axes
    assert read(pixels[..., 0], "YX").shape == (48, 70)
    with pytest.raises(ValueError, match="shape"):
        read(np.zeros((2, 3, 4, 5)), "TCYX")


def test_large_labels_pass_pillow_s_limit(tmp_path, monkeypatch):
    ids = np.random.default_rng(0).integers(0, 3, (40, 50)).astype(np.uint8)
    image = Image.fromarray(ids)
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    image.save(tmp_path / "palette.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 900)  # it refuses above twice as many
    with pytest.raises(Image.DecompressionBombError):
        Image.open(tmp_path / "palette.png")
    assert (load_label(tmp_path / "palette.png") == ids).all()
    assert Image.MAX_IMAGE_PIXELS == 900
    monkeypatch.setattr(decoding_module, "MAX_PIXELS", 1999)
    with pytest.raises(UserError, match=r"is 50 x 40 pixels, more than the 1,999.*into tiles"):
        load_label(tmp_path / "palette.png")


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_label_of_182_million_pixels(tmp_path, suffix):
    ids = np.zeros((13500, 13500), np.uint8)
    ids[1000:, 2000:] = 1
    image = Image.fromarray(ids)
    image.putpalette([0, 0, 0, 255, 0, 0])
    path = tmp_path / f"large.{suffix}"
    image.save(path, **({"compress_level": 1} if suffix == "png" else {"compression": "packbits"}))
    assert os.path.getsize(path) < 2e7
    assert load_label(path, num_classes=2).sum() == 12500 * 11500


@pytest.mark.parametrize("color_type", ["color", "color_ignore_orientation", "unchanged"])
def test_a_turned_image_with_a_label_is_told(tmp_path, warnings, monkeypatch, color_type):
    monkeypatch.setattr(loading_module, "is_first", lambda key: True)
    pixels, exif = np.zeros((8, 8, 3), np.uint8), Image.Exif()
    pixels[:4], exif[274] = 250, 3  # upside down
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif)
    Image.fromarray(pixels[..., 0] // 250).save(tmp_path / "a.png")
    results = {"img_path": str(tmp_path / "a.jpg"), "seg_map_path": str(tmp_path / "a.png")}
    results = LoadAnnotations()(LoadImageFromFile(color_type=color_type)(results))
    is_turned = bool(results["img"][0].mean() < 100)
    assert is_turned == (color_type == "color")
    assert [("orientation (3)" in text) for text in warnings] == [True] * is_turned


@pytest.mark.parametrize("dtype", [np.int32, np.float64])
def test_types_that_opencv_cannot_resize_become_float32(tmp_path, dtype):
    pixels = np.arange(35, dtype=dtype).reshape(5, 7) * 1000
    cv2.imwrite(str(tmp_path / "a.tiff"), pixels)
    image = LoadImageFromFile(color_type="unchanged")({"img_path": str(tmp_path / "a.tiff")})["img"]
    assert image.dtype == np.float32 and (image == pixels).all()


def test_floats_of_16_bits_need_tifffile(tmp_path):
    # A TIFF by hand: one row of two half floats, 1.0 and 2.0.
    tags = [(256, 2), (257, 1), (258, 16), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1)]
    tags += [(279, 4), (339, 3)]
    content = b"II*\0" + struct.pack("<I", 12) + np.array([1, 2], "<f2").tobytes()
    content += struct.pack("<H", len(tags))
    content += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags) + bytes(4)
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(UserError, match="floats of 16 bits.*imdecode_backend='tifffile'"):
        read_image(str(tmp_path / "a.tif"), "unchanged", "cv2", None)
