"""Pack a picture and its label into tensors for the model."""

from collections.abc import Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import PixelData

from mmseg_gc.registry import TRANSFORMS
from mmseg_gc.structures import SegDataSample

META_KEYS = (
    "img_path",
    "seg_map_path",
    "ori_shape",
    "img_shape",
    "pad_shape",
    "scale_factor",
    "flip",
    "flip_direction",
    "reduce_zero_label",
)


@TRANSFORMS.register_module()
class PackSegInputs(BaseTransform):
    """Make ``inputs`` (C, H, W) of the picture's dtype and ``data_samples``, a `SegDataSample`
    with the label (1, H, W), int64, and those of ``meta_keys`` that the results have.

    Source: ``mmseg.datasets.transforms.PackSegInputs``.
    """

    def __init__(self, meta_keys: Sequence[str] = META_KEYS) -> None:
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        packed = {}
        if "img" in results:
            image = results["img"]
            image = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
            packed["inputs"] = torch.from_numpy(np.ascontiguousarray(image))
        sample = SegDataSample(
            metainfo={key: results[key] for key in self.meta_keys if key in results}
        )
        if "gt_seg_map" in results:
            label = torch.from_numpy(results["gt_seg_map"].astype(np.int64))
            sample.gt_sem_seg = PixelData(data=label[None])
        packed["data_samples"] = sample
        return packed
