"""Pack an image and its label into tensors for the model."""

from collections.abc import Sequence

import cv2
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
    # How predictions are numbered in files, `label_file_ids`.
    "reduce_zero_label",
    "label_map",
    "file_label_map",
)


@TRANSFORMS.register_module()
class PackSegInputs(BaseTransform):
    """Make ``inputs`` (C, H, W) of the image's dtype and ``data_samples``, a `SegDataSample`
    with the label (1, H, W), uint8, the edge map of `GenerateEdge` as ``gt_edge_map``, and those
    of ``meta_keys`` that the results have.

    Source: ``mmseg.datasets.transforms.PackSegInputs``, whose labels are int64: eight times the
    bytes on the way to the device, where `SegDataPreProcessor` widens these.
    """

    def __init__(self, meta_keys: Sequence[str] = META_KEYS) -> None:
        self.meta_keys = tuple(meta_keys)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(meta_keys={self.meta_keys})"

    def transform(self, results: dict) -> dict:
        packed = {}
        if "img" in results:
            image = results["img"]
            packed["inputs"] = torch.from_numpy(_channels_first(contiguous(image)))
        sample = SegDataSample(
            metainfo={key: results[key] for key in self.meta_keys if key in results}
        )
        for key, name in (("gt_seg_map", "gt_sem_seg"), ("gt_edge_map", "gt_edge_map")):
            if key in results:
                label = np.require(contiguous(results[key]), requirements=("C", "W", "O"))
                sample.set_field(PixelData(data=torch.from_numpy(label[None])), name)
        packed["data_samples"] = sample
        return packed


def contiguous(image: np.ndarray) -> np.ndarray:
    """``image`` itself, or a copy of a mirrored view, which each call of OpenCV would copy."""
    if image.ndim > 1 and image.strides[1] < 0 < image.strides[0]:
        return cv2.flip(image[:, ::-1], 1).reshape(image.shape)
    return image


def _channels_first(image: np.ndarray) -> np.ndarray:
    if image.ndim == 2:
        return np.ascontiguousarray(image[None])
    if image.dtype != np.uint8 or image.shape[2] != 3:
        return np.ascontiguousarray(image.transpose(2, 0, 1))
    planes = np.empty((3, *image.shape[:2]), np.uint8)
    cv2.split(image, list(planes))  # a quarter of the time that NumPy takes
    return planes
