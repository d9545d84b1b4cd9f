"""Data sets and, in `transforms`, what their pipelines do to an image and its label."""

from mmseg_gc.datasets import named
from mmseg_gc.datasets.base import BaseSegDataset
from mmseg_gc.datasets.change_detection import BaseCDDataset
from mmseg_gc.datasets.concat import ConcatDataset
from mmseg_gc.datasets.listed import DecathlonDataset, DSDLSegDataset
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

__all__ = [
    "BaseCDDataset",
    "BaseSegDataset",
    "ConcatDataset",
    "DSDLSegDataset",
    "DecathlonDataset",
    "LoadAnnotations",
    "LoadImageFromNDArray",
    "PackSegInputs",
    "PhotoMetricDistortion",
    "RandomCrop",
    "RandomRotate",
    "ResizeShortestEdge",
    "ResizeToMultiple",
    *named.CLASSES,
]
globals().update(named.CLASSES)
