"""What a pipeline does to an image and its label; mmcv's own transforms stand here too."""

from mmcv.transforms import (
    RandomChoice,
    RandomChoiceResize,
    RandomFlip,
    TestTimeAug,
)

from mmseg_gc.datasets.transforms.albu import Albu
from mmseg_gc.datasets.transforms.cutout import RandomCutOut
from mmseg_gc.datasets.transforms.edges import GenerateEdge
from mmseg_gc.datasets.transforms.formatting import PackSegInputs
from mmseg_gc.datasets.transforms.geometric import (
    Pad,
    RandomCrop,
    RandomRotate,
    ResizeShortestEdge,
    ResizeToMultiple,
)
from mmseg_gc.datasets.transforms.intensity import CLAHE, AdjustGamma, Rerange, RGB2Gray
from mmseg_gc.datasets.transforms.loading import (
    LoadAnnotations,
    LoadImageFromFile,
    LoadImageFromNDArray,
)
from mmseg_gc.datasets.transforms.mosaic import RandomMosaic
from mmseg_gc.datasets.transforms.photometric import PhotoMetricDistortion
from mmseg_gc.datasets.transforms.rasters import (
    ConcatCDInput,
    LoadImageFromNpyFile,
    LoadMultipleRSImageFromFile,
    LoadSingleRSImageFromFile,
)
from mmseg_gc.datasets.transforms.resizing import RandomResize, Resize, SegRescale
from mmseg_gc.datasets.transforms.rot_flip import RandomRotFlip

__all__ = [
    "AdjustGamma",
    "Albu",
    "CLAHE",
    "ConcatCDInput",
    "GenerateEdge",
    "LoadAnnotations",
    "LoadImageFromFile",
    "LoadImageFromNDArray",
    "LoadImageFromNpyFile",
    "LoadMultipleRSImageFromFile",
    "LoadSingleRSImageFromFile",
    "PackSegInputs",
    "Pad",
    "PhotoMetricDistortion",
    "RGB2Gray",
    "RandomChoice",
    "RandomChoiceResize",
    "RandomCrop",
    "RandomCutOut",
    "RandomFlip",
    "RandomMosaic",
    "RandomResize",
    "RandomRotFlip",
    "RandomRotate",
    "Rerange",
    "Resize",
    "ResizeShortestEdge",
    "ResizeToMultiple",
    "SegRescale",
    "TestTimeAug",
]
