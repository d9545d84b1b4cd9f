"""`RandomResize` and `RandomCrop` in one step that only makes the pixels which the crop keeps."""

import threading
from collections.abc import Sequence
from functools import cache
from typing import Any

import cv2
import mmcv
import numpy as np
from mmcv.transforms import RandomResize as MMCVRandomResize
from mmcv.transforms import Resize as MMCVResize

from mmseg_gc.datasets.transforms.geometric import RandomCrop
from mmseg_gc.datasets.transforms.loading import LoadAnnotations, LoadImageFromFile
from mmseg_gc.datasets.transforms.resizing import RandomResize, Resize, new_size

Window = tuple[slice, slice]


def fuse(steps: Sequence[Any]) -> list[Any]:
    """``steps`` with a `ResizedCrop` in the place of the resize and crop that follow loading.

    Other steps, subclasses and unusual options are left as they are.
    """
    steps = list(steps)
    kinds = [type(step) for step in steps[:4]]
    if kinds[:2] + kinds[3:] != [LoadImageFromFile, LoadAnnotations, RandomCrop]:
        return steps
    if kinds[2] not in (RandomResize, MMCVRandomResize):
        return steps
    resize = steps[2].resize
    if type(resize) not in (Resize, MMCVResize):
        return steps
    if (resize.backend, resize.interpolation) != ("cv2", "bilinear"):
        return steps
    return [*steps[:2], ResizedCrop(steps[2], steps[3]), *steps[4:]]


class ResizedCrop:
    """What ``random_resize`` and then ``crop`` do to ``img`` and ``gt_seg_map``.

    Scale and window are drawn first, as those two draw them; of the label only windows are resized.
    The image is resized as a whole, for OpenCV can't resize a part to the same bits, but into
    memory that is used again. Of a memory-mapped image only the window is read and resized, to
    within one grey level.
    """

    def __init__(self, random_resize: MMCVRandomResize, crop: RandomCrop) -> None:
        self.random_resize = random_resize
        self.crop = crop

    def __call__(self, results: dict) -> dict:
        image, label = results["img"], results["gt_seg_map"]
        if results.get("seg_fields") != ["gt_seg_map"]:
            return self.crop(self.random_resize(results))
        scale = self.random_resize._random_scale()
        keep_ratio = self.random_resize.resize.keep_ratio
        old = image.shape[:2]
        height, width = new_size(old, scale, keep_ratio, results.get("img_path"))
        rows, cols = _nearest(old[0], height), _nearest(old[1], width)

        last: tuple[Window, np.ndarray] | None = None

        def label_in(window: Window) -> np.ndarray:
            nonlocal last
            if last is None or last[0] != window:
                last = window, _picked(label, rows[window[0]], cols[window[1]])
            return last[1]

        window = self.crop.draw_window((height, width), label_in, results)
        results["gt_seg_map"] = label_in(window)
        results["img"] = _resized_window(image, (height, width), window)
        results["img_shape"] = results["img"].shape[:2]
        results["scale"] = scale
        results["scale_factor"] = (width / old[1], height / old[0])
        results["keep_ratio"] = keep_ratio
        return results

    def __repr__(self) -> str:
        return f"{self.random_resize}\n    {self.crop}"


@cache
def _ramp(length: int) -> np.ndarray:
    return np.arange(length, dtype=np.float32)


def _nearest(old: int, new: int) -> np.ndarray:
    """The pixel of ``old`` ones that each of ``new`` ones shows: (new,), the way OpenCV rounds."""
    picked = cv2.resize(_ramp(old)[None], (new, 1), interpolation=cv2.INTER_NEAREST)
    return picked[0].astype(np.intp)


def _picked(label: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    part = np.asarray(label[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1])
    rows, cols = rows - rows[0], cols - cols[0]
    if len(rows) > len(part):  # first what leaves less for the other
        return part.take(cols, axis=1).take(rows, axis=0)
    return part.take(rows, axis=0).take(cols, axis=1)


def _resized_window(image: np.ndarray, size: tuple[int, int], window: Window) -> np.ndarray:
    """The ``window`` of ``image`` (h, w) or (h, w, c) resized to ``size`` (h, w): a new array."""
    if image.shape[:2] == size:
        return image[window].copy()
    if isinstance(image, np.memmap) and image.dtype == np.uint8 and _warps_precisely():
        return warped_window(image, size, window)
    whole = image.ndim == 3 and image.shape[2] > 1
    out = _scratch(image.dtype, (*size, image.shape[2])) if whole else None
    return mmcv.imresize(image, size[::-1], out=out)[window].copy()


def warped_window(image: np.ndarray, size: tuple[int, int], window: Window) -> np.ndarray:
    """The ``window`` of ``image``, uint8, resized to ``size`` (h, w), from its own pixels alone."""
    sources, starts, lengths, steps = [], [], [], []
    for old, new, part in zip(image.shape[:2], size, window, strict=True):
        first, last, step = part.start, min(part.stop, new) - 1, old / new
        # The place in the old image of the centre of the window's first pixel, as OpenCV has it.
        low, high = (step * (pixel + 0.5) - 0.5 for pixel in (first, last))
        begin = max(int(low) - 1, 0)
        sources.append(slice(begin, int(high) + 3))
        starts.append(low - begin)
        lengths.append(last - first + 1)
        steps.append(step)
    matrix = np.array([[steps[1], 0, starts[1]], [0, steps[0], starts[0]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    seen = np.asarray(image[tuple(sources)])
    out = cv2.warpAffine(seen, matrix, lengths[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return out.reshape(*lengths, *image.shape[2:])


@cache
def _warps_precisely() -> bool:
    """Whether this OpenCV warps by exact fractions of a pixel; OpenCV 4 rounds them to 1/32."""
    image = np.random.RandomState(0).randint(0, 256, (16, 16, 3)).astype(np.uint8)
    whole = cv2.resize(image, (37, 37), interpolation=cv2.INTER_LINEAR)
    warped = warped_window(image, (37, 37), (slice(0, 37), slice(0, 37)))
    return int(cv2.absdiff(whole, warped).max()) <= 1


_local = threading.local()


def _scratch(dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """An array of this thread whose memory the next call gives out again.

    Fresh memory of tens of megabytes takes as long to be mapped as an image to be resized.
    """
    count = int(np.prod(shape))
    buffer = getattr(_local, "buffer", None)
    if buffer is None or buffer.dtype != dtype or buffer.size < count:
        _local.buffer = buffer = np.empty(count, dtype)
    return buffer[:count].reshape(shape)
