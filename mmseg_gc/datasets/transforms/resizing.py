"""Resize, and refuse what would leave no pixel."""

import mmcv
from mmcv.transforms import BaseTransform
from mmcv.transforms import RandomResize as MMCVRandomResize
from mmcv.transforms import Resize as MMCVResize

from mmseg_gc.errors import UserError
from mmseg_gc.registry import TRANSFORMS


@TRANSFORMS.register_module()
class Resize(MMCVResize):
    """Resize ``img`` and ``gt_seg_map``; ``scale`` is (w, h) in pixels.

    Raises:
        UserError: A side would have no pixel, as that of a strip can with ``keep_ratio``.

    Source: ``mmcv.transforms.Resize``.
    """

    def _resize_img(self, results: dict) -> None:
        if results.get("img") is not None:
            size = results["img"].shape[:2]
            new_size(size, results["scale"], self.keep_ratio, results.get("img_path"))
        super()._resize_img(results)


@TRANSFORMS.register_module()
class RandomResize(MMCVRandomResize):
    """Resize to a scale drawn from ``ratio_range`` times ``scale``, or between two scales.

    Source: ``mmcv.transforms.RandomResize``, which finds this package's `Resize` only under its
    scope.
    """

    def __init__(
        self,
        scale: tuple[int, int] | list[tuple[int, int]],
        ratio_range: tuple[float, float] | None = None,
        resize_type: str = "Resize",
        **resize_kwargs: object,
    ) -> None:
        super().__init__(scale, ratio_range, resize_type, **resize_kwargs)
        self.resize = TRANSFORMS.build({"scale": 0, **self.resize_cfg})


def new_size(
    size: tuple[int, int], scale: tuple[int, int], keep_ratio: bool, path: str | None
) -> tuple[int, int]:
    """The (h, w) that an image of ``size`` (h, w) is resized to.

    Raises:
        UserError: One of both is 0.
    """
    width, height = mmcv.rescale_size(size[::-1], scale) if keep_ratio else scale
    if min(width, height) < 1:
        raise UserError(
            f"{path or 'an image'} is {size[1]} x {size[0]} pixels and would be resized to "
            f"{width} x {height}: give the Resize or RandomResize of the pipeline a larger scale "
            f"(here {tuple(scale)}) or keep_ratio=False, or take the file out."
        )
    return height, width


@TRANSFORMS.register_module()
class SegRescale(BaseTransform):
    """Resize every label by ``scale_factor``; the image stays as it is.

    Source: ``mmseg.datasets.transforms.SegRescale``.
    """

    def __init__(self, scale_factor: float = 1) -> None:
        if scale_factor <= 0:
            raise UserError(f"SegRescale.scale_factor is {scale_factor}: give a number above 0.")
        self.scale_factor = scale_factor

    def transform(self, results: dict) -> dict:
        for key in results.get("seg_fields", ()) if self.scale_factor != 1 else ():
            results[key] = mmcv.imrescale(results[key], self.scale_factor, interpolation="nearest")
        return results
