"""Data sets and, in `transforms`, what their pipelines do to an image and its label."""

from mmseg_gc.datasets.ade20k import ADE20KDataset
from mmseg_gc.datasets.base import BaseSegDataset
from mmseg_gc.datasets.camvid import CamVidDataset
from mmseg_gc.datasets.cityscapes import CityscapesDataset
from mmseg_gc.datasets.concat import ConcatDataset
from mmseg_gc.datasets.transforms import (
    LoadAnnotations,
    LoadImageFromNDArray,
    PackSegInputs,
    PhotoMetricDistortion,
    RandomCrop,
    RandomRotate,
    ResizeShortestEdge,
    ResizeToMultiple,
)
from mmseg_gc.datasets.voc import PascalVOCDataset

__all__ = [
    "ADE20KDataset",
    "BaseSegDataset",
    "CamVidDataset",
    "CityscapesDataset",
    "ConcatDataset",
    "LoadAnnotations",
    "LoadImageFromNDArray",
    "PackSegInputs",
    "PascalVOCDataset",
    "PhotoMetricDistortion",
    "RandomCrop",
    "RandomRotate",
    "ResizeShortestEdge",
    "ResizeToMultiple",
]
