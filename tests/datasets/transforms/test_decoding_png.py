import cv2
import numpy as np
import pytest
from PIL import Image

from mmseg_gc.datasets.transforms import decoding
from mmseg_gc.datasets.transforms.decoding import read_image
from mmseg_gc.errors import UserError

NOISE = np.random.default_rng(0).integers(0, 256, (37, 53, 4), np.uint8)


def file(path, mode: str, **options) -> bytes:
    channels = {"L": 1, "P": 1, "LA": 2, "RGB": 3, "RGBA": 4}[mode]
    pixels = NOISE[..., 0] if channels == 1 else NOISE[..., :channels].copy()
    image = Image.fromarray(pixels)
    if mode == "P":
        image.putpalette([(7 * i) % 256 for i in range(768)])
    image.save(path, "PNG", **options)
    return path.read_bytes()


@pytest.mark.parametrize("options", [{}, {"compress_level": 0}, {"dpi": (72, 72)}])
@pytest.mark.parametrize(("mode", "flag"), [("RGB", "color"), ("RGB", "unchanged"), ("L", "any")])
def test_same_pixels_as_the_usual_decoder(tmp_path, mode, flag, options):
    pytest.importorskip("kornia_rs")
    flag = "unchanged" if flag == "any" else flag
    image = decoding.decode_png(file(tmp_path / "a.png", mode, **options), flag)
    expected = NOISE[..., 2::-1] if mode == "RGB" else NOISE[..., 0]
    assert (image == expected).all() and image.shape == expected.shape
    assert image.dtype == np.uint8 and image.flags.writeable


@pytest.mark.parametrize("mode", ["P", "LA", "RGBA"])
def test_other_kinds_are_left_to_the_usual_decoder(tmp_path, mode, monkeypatch):
    monkeypatch.setattr(decoding, "_has_kornia", lambda: True)
    assert decoding.decode_png(file(tmp_path / "a.png", mode), "unchanged") is None


def test_what_changes_the_pixels_is_left_to_the_usual_decoder(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "_has_kornia", lambda: True)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    assert decoding.decode_png(file(tmp_path / "a.png", "RGB", exif=exif), "color") is None
    assert (
        decoding.decode_png(file(tmp_path / "b.png", "RGB", transparency=(1, 2, 3)), "color")
        is None
    )
    assert decoding.decode_png(file(tmp_path / "c.png", "L"), "color") is None
    assert decoding.decode_png(file(tmp_path / "d.png", "RGB"), "grayscale") is None
    cv2.imwrite(str(tmp_path / "e.png"), NOISE[..., :3].astype(np.uint16) * 257)
    assert decoding.decode_png((tmp_path / "e.png").read_bytes(), "unchanged") is None
    assert decoding.decode_png(b"\xff\xd8\xff", "color") is None


@pytest.mark.parametrize("cut", [20, 60, 2000, -1])
def test_a_damaged_file_is_named(tmp_path, cut):
    path = tmp_path / "a.png"
    content = bytearray(file(path, "RGB"))
    if cut < 0:
        content[len(content) // 2] ^= 0x55
    path.write_bytes(content[:cut] if cut > 0 else content)
    with pytest.raises(UserError, match=r"a\.png .* is no readable image"):
        read_image(str(path), "color", "cv2", None)


def test_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "_has_kornia", lambda: False)
    assert decoding.decode_png(file(tmp_path / "a.png", "RGB"), "color") is None
    assert (read_image(str(tmp_path / "a.png"), "color", "cv2", None) == NOISE[..., 2::-1]).all()
