"""Four images in one."""

from collections.abc import Sequence, Sized

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from mmseg_gc.datasets.transforms.geometric import ignore_index_of
from mmseg_gc.errors import UserError
from mmseg_gc.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomMosaic(BaseTransform):
    """With probability ``prob`` put ``img`` and three of ``mix_results`` around a drawn centre.

    It stands in the pipeline of a `MultiImageMixDataset`, which draws those three. Each image is
    resized to fit ``img_scale``, (h, w), keeping its ratio, and touches the centre with a corner;
    the result is twice ``img_scale``, and what passes its border is left away. The centre lies at
    ``center_ratio_range`` times ``img_scale``. Free pixels are ``pad_val``, and in labels
    ``seg_pad_val``, or the data set's ``ignore_index``.

    Raises:
        UserError: there are no ``mix_results``.

    Source: ``mmseg.datasets.transforms.RandomMosaic``; same draws.
    """

    def __init__(
        self,
        prob: float,
        img_scale: Sequence[int] = (640, 640),
        center_ratio_range: Sequence[float] = (0.5, 1.5),
        pad_val: float = 0,
        seg_pad_val: int | None = None,
    ) -> None:
        if not 0 <= prob <= 1:
            raise UserError(f"RandomMosaic.prob is {prob}: give a number from 0 to 1.")
        if len(img_scale) != 2 or min(img_scale) < 1:
            raise UserError(f"RandomMosaic.img_scale is {img_scale}: give (h, w) in pixels.")
        low, high = center_ratio_range
        if not 0 <= low <= high <= 2:
            raise UserError(
                f"RandomMosaic.center_ratio_range is {center_ratio_range}: give (min, max) from 0 "
                "to 2, the ends of the canvas."
            )
        self.prob = prob
        self.img_scale = tuple(img_scale)
        self.center_ratio_range = tuple(center_ratio_range)
        self.pad_val = pad_val
        self.seg_pad_val = seg_pad_val

    def get_indices(self, dataset: Sized) -> list[int]:
        """The places in ``dataset`` of the three other images."""
        return [np.random.randint(0, len(dataset)) for _ in range(3)]

    @cache_randomness
    def do_mosaic(self) -> bool:
        return np.random.rand() < self.prob

    @cache_randomness
    def generate_mosaic_center(self) -> tuple[int, int]:
        """The centre (x, y) in pixels."""
        low, high = self.center_ratio_range
        x = int(np.random.uniform(low, high) * self.img_scale[1])
        return x, int(np.random.uniform(low, high) * self.img_scale[0])

    def transform(self, results: dict) -> dict:
        others = results.get("mix_results")
        if others is None or len(others) != 3:
            raise UserError(
                "RandomMosaic has no other images to mix: move it, and all that follows it, into "
                "the pipeline of a MultiImageMixDataset whose dataset only loads images and labels."
            )
        if not self.do_mosaic():
            return results
        center = self.generate_mosaic_center()
        sources = [results, *others]
        fills = {"img": self.pad_val}
        fill = ignore_index_of(self.seg_pad_val, results)
        fills |= dict.fromkeys(results.get("seg_fields", ()), fill)
        made = {key: self._mosaic(key, sources, center, value) for key, value in fills.items()}
        results.update(made)
        results["img_shape"] = results["ori_shape"] = results["img"].shape[:2]
        return results

    def _mosaic(
        self, key: str, sources: Sequence[dict], center: tuple[int, int], fill: float
    ) -> np.ndarray:
        height, width = (2 * side for side in self.img_scale)
        first = sources[0][key]
        canvas = np.full((height, width, *first.shape[2:]), fill, first.dtype)
        for place, source in enumerate(sources):
            image = self._fitted(source[key], "bilinear" if key == "img" else "nearest")
            if image.shape[2:] != first.shape[2:]:
                raise UserError(
                    f"RandomMosaic mixes images of one number of channels, and "
                    f"{source.get('img_path')} is of shape {source[key].shape}, not as "
                    f"{sources[0].get('img_path')}, {first.shape}: set color_type='color'."
                )
            on_canvas, on_image = [], []
            # Rows, then columns: before the centre an image's end is kept, behind it its start.
            for is_behind, middle, length, side in (
                (place >= 2, center[1], image.shape[0], height),
                (place % 2 == 1, center[0], image.shape[1], width),
            ):
                shown = min(length, side - middle if is_behind else middle)
                start = middle if is_behind else middle - shown
                on_canvas.append(slice(start, start + shown))
                on_image.append(slice(0, shown) if is_behind else slice(length - shown, length))
            canvas[tuple(on_canvas)] = image[tuple(on_image)]
        return canvas

    def _fitted(self, image: np.ndarray, interpolation: str) -> np.ndarray:
        height, width = image.shape[:2]
        ratio = min(self.img_scale[0] / height, self.img_scale[1] / width)
        size = (max(int(width * ratio), 1), max(int(height * ratio), 1))
        return mmcv.imresize(image, size, interpolation=interpolation).reshape(
            size[1], size[0], *image.shape[2:]
        )
