"""Turn an image file into pixels; one that can't be used is named with the cure."""

import io
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec

import cv2
import mmcv
import numpy as np
from mmengine import fileio
from PIL import Image

from mmseg_gc.datasets.transforms.headers import (
    COLOR,
    GREY,
    SIGNATURE,
    TIFF_STARTS,
    Header,
    lacks,
    read_header,
    require_whole_png,
)
from mmseg_gc.errors import UserError

# OpenCV's own limit, unless OPENCV_IO_MAX_IMAGE_PIXELS is set before it is imported.
MAX_PIXELS = 1 << 30
# Chunks that change what OpenCV or Pillow makes of the pixels: transparency, turning, animation.
CHANGING = (b"tRNS", b"eXIf", b"acTL")
POSTSCRIPT = (b"%!PS", b"\xc5\xd0\xd3\xc6")
KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_pillow_lock = threading.Lock()


def read_image(path: str, flag: str, backend: str, backend_args: dict | None) -> np.ndarray:
    """The pixels of an image file: (h, w) or (h, w, c), BGR, but a TIFF's own order by tifffile.

    Raises:
        UserError: The file is missing, unreadable, truncated, or too large, or it has bands that
            ``backend`` would drop.
    """
    return decode(fetch(path, backend_args), path, flag, backend)


def fetch(path: str, backend_args: dict | None) -> bytes:
    """What the file holds.

    Raises:
        UserError: it's missing, can't be read, or is a pipe or device, whose end may never come.
    """
    backend = fileio.get_file_backend(path, backend_args=backend_args, enable_singleton=True)
    try:
        if isinstance(backend, fileio.LocalBackend):
            _require_regular(path)
        return backend.get(path)
    except OSError as error:
        raise UserError(f"{path} can't be read ({error.strerror or error}).") from error


def _require_regular(path: str) -> None:
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        kind = next((word for test, word in KINDS if test(mode)), "no file")
        raise UserError(
            f"{path} is {kind}; only regular files are read: give one, or leave it out."
        )


def decode(content: bytes, path: str, flag: str, backend: str) -> np.ndarray:
    """The pixels of ``content``, as `read_image` gives them.

    Raises:
        UserError: as `read_image`, or memory doesn't suffice.
    """
    header = read_header(content)
    missing = lacks(content, header)
    if missing or header.size[0] * header.size[1] > MAX_PIXELS:  # before room is made for them
        raise _unreadable(path, content, flag, backend, missing)
    image: np.ndarray | None
    try:
        if backend == "tifffile":
            image = _read_tiff(content)
        else:
            image = decode_png(content, flag)
            if image is None:
                if backend == "pillow":
                    _require_of_pillow(content, header, flag)
                image = _decode_by(backend, content, flag)
        if backend == "cv2" and _may_be_cut_short(content):
            _load_by_pillow(content)
    except MemoryError as error:
        width, height = header.size
        size = f"{width} x {height} pixels" if width else "pixels"
        raise UserError(
            f"{path}: memory doesn't suffice for its {size}; cut it into tiles or take fewer "
            "workers."
        ) from error
    except Exception as error:  # each decoder has exceptions of its own
        raise _unreadable(path, content, flag, backend, str(error)) from error
    if image is None:
        raise _unreadable(path, content, flag, backend, "it can't be decoded")
    if backend != "tifffile" and content.startswith(TIFF_STARTS):
        _require_all_bands(path, content, image, flag)
    return image


def decode_png(content: bytes, flag: str) -> np.ndarray | None:
    """The pixels of a PNG of 8 bits, uint8: colour as (h, w, 3), BGR, grey as (h, w).

    They come from kornia-rs, which is faster than OpenCV.

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


def levels_lost(content: bytes, path: str, image: np.ndarray) -> tuple[int, int] | None:
    """How many levels an 8-bit ``image`` has, and how many its file.

    None where the file has no more than 8 bits.
    """
    if image.dtype != np.uint8 or read_header(content).bits <= 8:
        return None
    try:
        whole = decode(content, path, "unchanged", "cv2")
    except UserError:
        return None
    return _num_levels(image), _num_levels(whole)


def _num_levels(image: np.ndarray) -> int:
    if image.dtype.kind != "u" or image.dtype.itemsize > 2:
        return len(np.unique(image))
    return int(np.count_nonzero(np.bincount(image.ravel())))  # without sorting every pixel


def _decode_by(backend: str, content: bytes, flag: str) -> np.ndarray | None:
    try:
        return mmcv.imfrombytes(content, flag=flag, backend=backend)
    except Image.DecompressionBombError:
        with _pillow_takes_large_images():
            return mmcv.imfrombytes(content, flag=flag, backend=backend)


def _require_of_pillow(content: bytes, header: Header, flag: str) -> None:
    if content.startswith(SIGNATURE):
        require_whole_png(content, header)
    if content.startswith(POSTSCRIPT):
        raise ValueError("PostScript is a program, which isn't run")
    if flag != "unchanged" and header.bits == 16 and header.channels == 1:
        raise ValueError(
            "Pillow makes 255 of all levels above it: set imdecode_backend='cv2', or color_type="
            "'unchanged' in LoadImageFromFile to keep all bits"
        )


def _load_by_pillow(content: bytes) -> None:
    try:
        Image.open(io.BytesIO(content)).load()
    except Image.DecompressionBombError:
        with _pillow_takes_large_images():
            Image.open(io.BytesIO(content)).load()


@contextmanager
def _pillow_takes_large_images() -> Iterator[None]:
    """Lift Pillow's limit, which is of the whole process, to OpenCV's for one image."""
    with _pillow_lock:
        before = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # it refuses what has twice as many
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _read_tiff(content: bytes) -> np.ndarray:
    import tifffile

    with tifffile.TiffFile(io.BytesIO(content)) as file:
        image, axes = file.series[0].asarray(), file.series[0].axes
    if image.ndim > 3:
        image, axes = image.squeeze(), ""
    if image.ndim not in (2, 3):
        raise ValueError(f"it holds an array of shape {image.shape}")
    if image.ndim == 2 or axes.endswith("S"):
        return image
    # A plane for each channel comes channels first. Pages may be that, or the rows of an array
    # (h, w, c) that was written as it is: there are fewer channels than rows or columns.
    channels_last = not axes.startswith("S") and image.shape[2] < min(image.shape[:2])
    return image if channels_last else image.transpose(1, 2, 0)


def _require_all_bands(path: str, content: bytes, image: np.ndarray, flag: str) -> None:
    header = read_header(content)
    read = image.shape[2] if image.ndim == 3 else 1
    alone = header.is_grey and (flag != "unchanged" or read == 1)
    if alone and header.channels - header.has_alpha > 1:
        raise UserError(
            f"{path} has {header.channels} bands, of which OpenCV and Pillow read the first alone: "
            "set color_type='unchanged' and imdecode_backend='tifffile' in LoadImageFromFile."
        )


def _may_be_cut_short(content: bytes) -> bool:
    # OpenCV 4 fills the rest of a truncated JPEG with grey and only prints a warning. A file that
    # does not end in the end-of-image mark may carry a harmless trailer, so Pillow must judge it.
    return content.startswith(b"\xff\xd8") and not content.endswith(b"\xff\xd9")


def _unreadable(path: str, content: bytes, flag: str, backend: str, reason: str) -> UserError:
    header = read_header(content)
    width, height = header.size
    if width * height > MAX_PIXELS:
        return UserError(
            f"{path} is {width} x {height} pixels, more than the {MAX_PIXELS:,} that are read: cut "
            "it into tiles."
        )
    if header.channels > 4 and backend != "tifffile":
        return UserError(
            f"{path} has {header.channels} bands, which {backend} can't read: set color_type="
            "'unchanged' and imdecode_backend='tifffile' in LoadImageFromFile."
        )
    if header.bits == 16 and header.is_float and backend != "tifffile":
        return UserError(
            f"{path} holds floats of 16 bits, which {backend} can't read: set color_type="
            "'unchanged' and imdecode_backend='tifffile' in LoadImageFromFile."
        )
    if header.bits > 16 and flag != "unchanged":
        kind = "floats" if header.is_float else "integers"
        return UserError(
            f"{path} holds {kind} of {header.bits} bits, which color_type={flag!r} can't read: set "
            "color_type='unchanged' in LoadImageFromFile, and mean and std in their range."
        )
    reason = f"{backend}: {' '.join(reason.split())}"
    return UserError(
        f"{path} ({len(content)} bytes) is no readable image ({reason}): replace it or take it out."
    )


def stored_ids(label: np.ndarray, header: Header) -> np.ndarray:
    """The ids that a grey label of 1, 2 or 4 bits holds: decoders stretch them to 8 bits."""
    if not header.is_grey or header.bits not in (1, 2, 4) or label.ndim != 2:
        return label
    step = 255 // (2**header.bits - 1)
    return label // step if label.max(initial=0) >= 2**header.bits else label
