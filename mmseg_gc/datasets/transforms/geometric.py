"""Crop, rotate, resize and pad an image together with its label."""

from collections.abc import Callable, Sequence

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms import Pad as MMCVPad
from mmcv.transforms.utils import cache_randomness

from mmseg_gc.datasets.transforms.labels import count_ids
from mmseg_gc.datasets.transforms.resizing import Resize
from mmseg_gc.errors import UserError
from mmseg_gc.registry import TRANSFORMS

# What a transform writes into new label pixels is the data set's `ignore_index`, which the
# results carry; 255 where they come from elsewhere.
DEFAULT_IGNORE_INDEX = 255


@TRANSFORMS.register_module()
class RandomCrop(BaseTransform):
    """Cut a window of ``crop_size`` (h, w) pixels out of the image and its label.

    Below 1, ``cat_max_ratio`` has the window drawn again, up to ten times, until no class covers
    that share of the pixels not ignored; the tenth is taken as it comes.

    Source: ``mmseg.datasets.transforms.RandomCrop``; same draws.
    """

    def __init__(
        self,
        crop_size: int | Sequence[int],
        cat_max_ratio: float = 1.0,
        ignore_index: int | None = None,
    ) -> None:
        size = (crop_size, crop_size) if isinstance(crop_size, int) else tuple(crop_size)
        if len(size) != 2 or min(size) <= 0:
            raise UserError(f"RandomCrop.crop_size is {crop_size}: give (h, w) in pixels above 0.")
        self.crop_size = size
        self.cat_max_ratio = cat_max_ratio
        self.ignore_index = ignore_index

    @cache_randomness
    def crop_bbox(self, results: dict) -> tuple[slice, slice]:
        return self.draw_window(
            results["img"].shape[:2], lambda window: results["gt_seg_map"][window], results
        )

    def draw_window(
        self,
        size: tuple[int, int],
        label_in: Callable[[tuple[slice, slice]], np.ndarray],
        results: dict,
    ) -> tuple[slice, slice]:
        """Draw a window of an image of ``size`` (h, w), whose label in a window is ``label_in``'s.

        ``results`` may name the ``ignore_index``.
        """
        window = self._draw(size)
        if self.cat_max_ratio < 1.0:
            for _ in range(10):
                if self._is_varied(label_in(window), results):
                    break
                window = self._draw(size)
        return window

    def transform(self, results: dict) -> dict:
        if self.cat_max_ratio < 1.0 and "gt_seg_map" not in results:
            raise UserError(
                "RandomCrop.cat_max_ratio looks at the label: put LoadAnnotations before it in the "
                "pipeline, or leave cat_max_ratio out."
            )
        window = self.crop_bbox(results)
        for key in ("img", *results.get("seg_fields", ())):
            results[key] = results[key][window]
        results["img_shape"] = results["img"].shape[:2]
        return results

    def _draw(self, size: tuple[int, int]) -> tuple[slice, slice]:
        top, left = (
            np.random.randint(0, max(full - part, 0) + 1)
            for full, part in zip(size, self.crop_size, strict=True)
        )
        return slice(top, top + self.crop_size[0]), slice(left, left + self.crop_size[1])

    def _is_varied(self, label: np.ndarray, results: dict) -> bool:
        counts = count_ids(label)
        counts[ignore_index_of(self.ignore_index, results)] = 0
        return bool(counts.any() and counts.max() / counts.sum() < self.cat_max_ratio)


@TRANSFORMS.register_module()
class RandomRotate(BaseTransform):
    """Rotate image and label by an angle from ``degree``, with probability ``prob``.

    ``degree`` is (min, max), or one number for (-degree, degree). ``center`` is (x, y) in pixels;
    ``auto_bound`` enlarges the canvas to hold the whole image. ``pad_val`` has a value for each
    channel; a single number fills the first, as in OpenCV. Any number of channels is rotated, each
    as it would be alone.

    Source: ``mmseg.datasets.transforms.RandomRotate``; same draws.
    """

    def __init__(
        self,
        prob: float,
        degree: float | Sequence[float],
        pad_val: float | tuple[float, ...] = 0,
        seg_pad_val: int | None = None,
        center: tuple[float, float] | None = None,
        auto_bound: bool = False,
    ) -> None:
        degrees = (-degree, degree) if isinstance(degree, (int, float)) else tuple(degree)
        if not 0 <= prob <= 1 or len(degrees) != 2 or degrees[0] == degrees[1]:
            raise UserError(
                f"RandomRotate has prob={prob} and degree={degree}: give a prob from 0 to 1 and a "
                "degree above 0 or (min, max)."
            )
        self.prob = prob
        self.degree = degrees
        self.pad_val = pad_val
        self.seg_pad_val = seg_pad_val
        self.center = center
        self.auto_bound = auto_bound

    @cache_randomness
    def generate_degree(self) -> tuple[bool, float]:
        return np.random.rand() < self.prob, np.random.uniform(min(self.degree), max(self.degree))

    def transform(self, results: dict) -> dict:
        rotate, angle = self.generate_degree()
        if not rotate:
            return results
        frame = {"angle": angle, "center": self.center, "auto_bound": self.auto_bound}
        results["img"] = self._rotated(results["img"], frame)
        fill = ignore_index_of(self.seg_pad_val, results)
        for key in results.get("seg_fields", ()):
            results[key] = mmcv.imrotate(
                results[key], border_value=fill, interpolation="nearest", **frame
            )
        return results

    def _rotated(self, image: np.ndarray, frame: dict) -> np.ndarray:
        if image.ndim == 2 or image.shape[2] in (1, 3, 4):
            return mmcv.imrotate(image, border_value=self.pad_val, **frame)
        # Of other numbers of channels OpenCV rounds the place of a pixel to 1/32.
        values = self.pad_val if isinstance(self.pad_val, Sequence) else (self.pad_val,)
        padded = [*values, *[0] * image.shape[2]]
        channels = np.moveaxis(image, 2, 0)
        return np.stack(
            [
                mmcv.imrotate(np.ascontiguousarray(channel), border_value=value, **frame)
                for channel, value in zip(channels, padded, strict=False)
            ],
            axis=-1,
        )


@TRANSFORMS.register_module()
class ResizeToMultiple(BaseTransform):
    """Enlarge image and label until both sides are multiples of ``size_divisor`` pixels.

    Source: ``mmseg.datasets.transforms.ResizeToMultiple``.
    """

    def __init__(self, size_divisor: int = 32, interpolation: str | None = None) -> None:
        self.size_divisor = size_divisor
        self.interpolation = interpolation or "bilinear"

    def transform(self, results: dict) -> dict:
        results["img"] = self._resize(results["img"], self.interpolation)
        results["img_shape"] = results["pad_shape"] = results["img"].shape[:2]
        for key in results.get("seg_fields", ()):
            results[key] = self._resize(results[key], "nearest")
        return results

    def _resize(self, image: np.ndarray, interpolation: str) -> np.ndarray:
        return mmcv.imresize_to_multiple(
            image, self.size_divisor, scale_factor=1, interpolation=interpolation
        )


@TRANSFORMS.register_module()
class ResizeShortestEdge(BaseTransform):
    """Resize so that the short side has ``scale`` pixels and the long one at most ``max_size``.

    Source: ``mmseg.datasets.transforms.ResizeShortestEdge``.
    """

    def __init__(self, scale: int | Sequence[int], max_size: int) -> None:
        self.scale = scale if isinstance(scale, int) else min(scale)
        self.max_size = max_size
        self.resize = Resize(scale=0, keep_ratio=True)

    def transform(self, results: dict) -> dict:
        height, width = results["img"].shape[:2]
        short, long = self.scale, self.scale / min(height, width) * max(height, width)
        if long > self.max_size:
            shrink = self.max_size / long
            short, long = short * shrink, long * shrink
        short, long = int(short + 0.5), int(long + 0.5)
        self.resize.scale = (long, short) if height < width else (short, long)
        return self.resize(results)


@TRANSFORMS.register_module()
class Pad(MMCVPad):
    """Pad to ``size``, which is (w, h) in pixels, or to a multiple of ``size_divisor``.

    Source: ``mmcv.transforms.Pad``, which pads every label with 255 and takes four channels.
    """

    def __init__(
        self,
        size: tuple[int, int] | None = None,
        size_divisor: int | None = None,
        pad_to_square: bool = False,
        pad_val: float | dict | None = None,
        padding_mode: str = "constant",
    ) -> None:
        values = pad_val if isinstance(pad_val, dict) else {"img": pad_val or 0}
        values = {
            key: tuple(value) if isinstance(value, Sequence) else value  # of a config, a list
            for key, value in {"img": 0, **values}.items()
        }
        super().__init__(size, size_divisor, pad_to_square, values, padding_mode)
        self._sizing = MMCVPad(size, size_divisor, pad_to_square)

    def _pad_img(self, results: dict) -> None:
        image = results["img"]
        if image.ndim == 2 or image.shape[2] <= 4:
            super()._pad_img(results)
            return
        results["img"] = np.zeros(image.shape[:2], np.uint8)
        self._sizing._pad_img(results)  # works the size out and notes it
        height, width = results["pad_shape"] = results["img"].shape
        extra = ((0, height - image.shape[0]), (0, width - image.shape[1]), (0, 0))
        if self.padding_mode == "constant":
            padded = np.empty((height, width, image.shape[2]), image.dtype)
            padded[:] = self.pad_val["img"]  # one value, or one a channel
            padded[: image.shape[0], : image.shape[1]] = image
        else:
            padded = np.pad(image, extra, self.padding_mode)
        results["img"] = padded
        results["pad_shape"] = padded.shape

    def _pad_seg(self, results: dict) -> None:
        fill = ignore_index_of(self.pad_val.get("seg"), results)
        for key in results.get("seg_fields", ()):
            results[key] = mmcv.impad(
                results[key],
                shape=results["pad_shape"][:2],
                pad_val=fill,
                padding_mode=self.padding_mode,
            )


def ignore_index_of(chosen: int | None, results: dict) -> int:
    """``chosen``, or what the data set's results say."""
    return results.get("ignore_index", DEFAULT_IGNORE_INDEX) if chosen is None else chosen
