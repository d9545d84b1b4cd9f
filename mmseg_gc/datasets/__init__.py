"""Data sets and, in `transforms`, what their pipelines do to an image and its label."""

from mmseg_gc.datasets import named
from mmseg_gc.datasets.base import BaseSegDataset
from mmseg_gc.datasets.change_detection import BaseCDDataset
from mmseg_gc.datasets.concat import ConcatDataset
from mmseg_gc.datasets.listed import DecathlonDataset, DSDLSegDataset
from mmseg_gc.datasets.multi_image_mix import MultiImageMixDataset
from mmseg_gc.datasets.transforms import (
    CLAHE,
    AdjustGamma,
    Albu,
    ConcatCDInput,
    GenerateEdge,
    LoadAnnotations,
    LoadImageFromNDArray,
    LoadImageFromNpyFile,
    LoadMultipleRSImageFromFile,
    LoadSingleRSImageFromFile,
    PackSegInputs,
    PhotoMetricDistortion,
    RandomCrop,
    RandomCutOut,
    RandomMosaic,
    RandomRotate,
    RandomRotFlip,
    Rerange,
    ResizeShortestEdge,
    ResizeToMultiple,
    RGB2Gray,
    SegRescale,
)

__all__ = [
    "AdjustGamma",
    "Albu",
    "BaseCDDataset",
    "BaseSegDataset",
    "CLAHE",
    "ConcatCDInput",
    "ConcatDataset",
    "DSDLSegDataset",
    "DecathlonDataset",
    "GenerateEdge",
    "LoadAnnotations",
    "LoadImageFromNDArray",
    "LoadImageFromNpyFile",
    "LoadMultipleRSImageFromFile",
    "LoadSingleRSImageFromFile",
    "MultiImageMixDataset",
    "PackSegInputs",
    "PhotoMetricDistortion",
    "RGB2Gray",
    "RandomCrop",
    "RandomCutOut",
    "RandomMosaic",
    "RandomRotFlip",
    "RandomRotate",
    "Rerange",
    "ResizeShortestEdge",
    "ResizeToMultiple",
    "SegRescale",
    *named.CLASSES,
]
globals().update(named.CLASSES)
