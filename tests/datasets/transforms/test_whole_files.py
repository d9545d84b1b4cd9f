"""What is known of a file before it is decoded, and what is refused by that alone."""

import io
import os
import socket
import struct
import sys
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mmseg_gc.datasets.transforms import decoding
from mmseg_gc.datasets.transforms.decoding import decode, fetch
from mmseg_gc.datasets.transforms.headers import lacks, read_header
from mmseg_gc.errors import UserError

NOISE = np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8)
READERS = [("color", "cv2"), ("unchanged", "cv2"), ("color", "pillow"), ("unchanged", "pillow")]
FORMATS = [
    *(("PNG", mode, {}) for mode in ("RGB", "L", "P", "1", "RGBA")),
    *(("BMP", mode, {}) for mode in ("RGB", "L", "P")),
    *(("JPEG", "RGB", {}), ("JPEG", "L", dict(progressive=True))),
    *(("WEBP", "RGB", {}), ("WEBP", "RGB", dict(lossless=True))),
    *(("TIFF", "RGB", {}), ("TIFF", "L", dict(compression="tiff_lzw"))),
]


def chunk(kind: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def claiming(width: int, height: int, rows: bytes = b"") -> bytes:
    """A PNG of 65 bytes or more that speaks of RGB pixels of that size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9))
    return b"\x89PNG\r\n\x1a\n" + content + chunk(b"IEND", b"")


@pytest.mark.parametrize(("format", "mode", "options"), FORMATS)
def test_decoders_agree_on_a_file_that_was_cut_short(format, mode, options):
    file = io.BytesIO()
    Image.fromarray(NOISE).convert(mode).save(file, format, **options)
    content = file.getvalue()
    for cut in (0, 1, 2, 13, 100):
        refused = []
        for flag, backend in READERS:
            try:
                assert decode(content[: len(content) - cut], "a", flag, backend).shape[0] == 37
            except UserError as error:
                assert "is no readable image" in str(error)
                refused.append((flag, backend))
        # A TIFF's last bytes may be nothing that a pixel needs.
        assert refused in ([], READERS) if format == "TIFF" else refused == READERS * (cut > 0)


@pytest.mark.parametrize("side", [50_000, 100_000, 1_000_000, 2**31 - 1])
@pytest.mark.parametrize(("flag", "backend"), READERS)
def test_no_room_is_made_for_more_than_is_read(monkeypatch, side, flag, backend):
    monkeypatch.setattr(decoding, "decode_png", lambda *_: pytest.fail("decoded"))
    monkeypatch.setattr(decoding, "_decode_by", lambda *_: pytest.fail("decoded"))
    assert len(claiming(side, side)) == 65
    with pytest.raises(UserError, match=rf"a is {side} x {side} pixels, more than the 1,073,741,"):
        decode(claiming(side, side), "a", flag, backend)


def test_nor_for_more_than_the_file_can_hold(monkeypatch):
    monkeypatch.setattr(decoding, "decode_png", lambda *_: pytest.fail("decoded"))
    with pytest.raises(UserError, match="too short for the 30000 x 30000 pixels"):
        decode(claiming(30_000, 30_000), "a", "color", "cv2")


def test_the_emptiest_image_can_be_read():
    """Rows of zeros, which deflate makes smallest."""
    content = claiming(4000, 3000, bytes(3000 * (1 + 3 * 4000)))
    assert len(content) < 3000 * 4000 * 3 / 1000
    assert lacks(content, read_header(content)) == ""
    assert not decode(content, "a", "color", "cv2").any()


def test_what_follows_a_png_s_end_does_no_harm():
    content = claiming(3, 2, bytes(2 * 10)) + bytes(10_000)
    assert decode(content, "a", "unchanged", "cv2").shape == (2, 3, 3)


def test_a_bmp_from_the_top_has_a_size():
    file = io.BytesIO()
    Image.fromarray(NOISE).save(file, "BMP")
    content = bytearray(file.getvalue())
    assert read_header(bytes(content)).size == (53, 37)
    content[22:26] = (-37).to_bytes(4, "little", signed=True)
    assert read_header(bytes(content)).size == (53, 37)


def test_a_panic_in_rust_is_a_file_that_others_judge(monkeypatch):
    class PanicException(BaseException):
        """As pyo3's, which no `except Exception` catches."""

    def panic(*_):
        raise PanicException("capacity overflow")

    module = SimpleNamespace(decode_image_png_u8=panic)
    monkeypatch.setitem(sys.modules, "kornia_rs", SimpleNamespace(io=module))
    monkeypatch.setitem(sys.modules, "kornia_rs.io", module)
    monkeypatch.setattr(decoding, "_has_kornia", lambda: True)
    image = decode(claiming(3, 2, bytes(2 * 10)), "a", "color", "cv2")
    assert image.shape == (2, 3, 3) and not image.any()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "decode_image_png_u8", interrupted)
    with pytest.raises(KeyboardInterrupt):
        decode(claiming(3, 2, bytes(2 * 10)), "a", "color", "cv2")


def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    os.symlink("/dev/zero", tmp_path / "zero.png")
    (tmp_path / "folder.png").mkdir()
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket.png"))
        kinds = dict(pipe="a pipe", zero="a device", folder="a folder", socket="a socket")
        for name, kind in kinds.items():
            with pytest.raises(UserError, match=rf"{name}\.png is {kind}; .*regular file"):
                fetch(str(tmp_path / f"{name}.png"), None)
    (tmp_path / "file.png").write_bytes(b"content")
    os.symlink("file.png", tmp_path / "link.png")
    assert fetch(str(tmp_path / "link.png"), None) == b"content"
    with pytest.raises(UserError, match=r"missing\.png can't be read \(No such file"):
        fetch(str(tmp_path / "missing.png"), dict(backend="local"))


def test_memory_that_does_not_suffice_is_not_the_file_s_fault(monkeypatch):
    def no_memory(*_):
        raise MemoryError

    monkeypatch.setattr(decoding, "decode_png", no_memory)
    with pytest.raises(UserError, match="a: memory doesn't suffice for its 3 x 2 pixels; cut it"):
        decode(claiming(3, 2, bytes(2 * 10)), "a", "color", "cv2")


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "1"])
@pytest.mark.parametrize("backend", ["pillow", "cv2"])
def test_a_png_whose_checksum_is_wrong_is_refused_by_all(mode, backend):
    pixels = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8)).convert(mode)
    content = bytearray(encoded(pixels, "PNG", compress_level=0))
    at = content.index(b"IDAT") + 4 + 12  # a pixel: the data are not compressed
    content[at] ^= 1
    with pytest.raises(UserError, match="is no readable image"):
        decode(bytes(content), "a.png", "unchanged", backend)


@pytest.mark.parametrize("interlaced", [0, 1])
def test_a_png_that_lacks_rows_is_refused_by_all(interlaced):
    head = struct.pack(">IIBBBBB", 16, 64, 8, 0, 0, 0, interlaced)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
    content += chunk(b"IDAT", zlib.compress(bytes(17 * 40))) + chunk(b"IEND", b"")
    for backend in ("pillow", "cv2"):
        with pytest.raises(UserError, match="is no readable image"):
            decode(content, "a.png", "unchanged", backend)


def test_an_interlaced_png_is_whole():
    """Two black pixels a row, in seven passes: written by hand, as Pillow can't."""
    head = struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 1)
    # Of 2 x 2 pixels the first pass has one, the sixth one and the seventh a row of two.
    rows = b"\0\x01" + b"\0\x02" + b"\0\x03\x04"
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
    content += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    for backend in ("pillow", "cv2"):
        assert decode(content, "a.png", "unchanged", backend).tolist() == [[1, 2], [3, 4]]


def test_pillow_does_not_clip_16_bits():
    content = encoded(Image.fromarray(np.array([[100, 40_000]], np.uint16)), "PNG")
    assert decode(content, "a.png", "color", "cv2")[0, :, 0].tolist() == [0, 156]  # of 256 levels
    assert decode(content, "a.png", "unchanged", "pillow").tolist() == [[100, 40_000]]
    with pytest.raises(UserError, match="set imdecode_backend='cv2'"):
        decode(content, "a.png", "color", "pillow")


@pytest.mark.parametrize("start", [b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\xc5\xd0\xd3\xc6"])
def test_postscript_is_not_run(start, monkeypatch):
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("it was opened"))
    with pytest.raises(UserError, match="PostScript is a program"):
        decode(start + b"%%BoundingBox: 0 0 9 9\n", "a.png", "color", "pillow")


def test_no_room_is_made_for_a_jpeg_that_claims_too_much(monkeypatch):
    content = bytearray(encoded(Image.new("RGB", (640, 480)), "JPEG", quality=1))
    assert read_header(bytes(content)).size == (640, 480)
    assert lacks(bytes(content), read_header(bytes(content))) == ""
    at = content.index(b"\xff\xc0")
    content[at + 5 : at + 9] = struct.pack(">HH", 30_000, 20_000)
    monkeypatch.setattr(decoding, "_decode_by", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(UserError, match="too short for the 20000 x 30000 pixels"):
        decode(bytes(content), "a.jpg", "color", "cv2")


def test_a_tiff_whose_size_is_no_number():
    content = bytearray(encoded(Image.new("L", (9, 7)), "TIFF"))
    entry = content.index(struct.pack("<HHI", 256, 4, 1))
    content[entry + 2] = 7  # bytes
    with pytest.raises(UserError, match="is no readable image"):
        decode(bytes(content), "a.tif", "color", "cv2")
