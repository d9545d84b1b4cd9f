"""What a pipeline does to an image and its label; mmcv's own transforms stand here too."""

from mmcv.transforms import (
    RandomChoice,
    RandomChoiceResize,
    RandomFlip,
    TestTimeAug,
)

from mmseg_gc.datasets.transforms.formatting import PackSegInputs
from mmseg_gc.datasets.transforms.geometric import (
    Pad,
    RandomCrop,
    RandomRotate,
    ResizeShortestEdge,
    ResizeToMultiple,
)
from mmseg_gc.datasets.transforms.loading import (
    LoadAnnotations,
    LoadImageFromFile,
    LoadImageFromNDArray,
)
from mmseg_gc.datasets.transforms.photometric import PhotoMetricDistortion
from mmseg_gc.datasets.transforms.resizing import RandomResize, Resize

__all__ = [
    "LoadAnnotations",
    "LoadImageFromFile",
    "LoadImageFromNDArray",
    "PackSegInputs",
    "Pad",
    "PhotoMetricDistortion",
    "RandomChoice",
    "RandomChoiceResize",
    "RandomCrop",
    "RandomFlip",
    "RandomResize",
    "RandomRotate",
    "Resize",
    "ResizeShortestEdge",
    "ResizeToMultiple",
    "TestTimeAug",
]
