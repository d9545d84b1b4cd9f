"""Pascal VOC 2012: background and 20 classes."""

from mmseg_gc.datasets.base import BaseSegDataset
from mmseg_gc.registry import DATASETS


@DATASETS.register_module()
class PascalVOCDataset(BaseSegDataset):
    """Pascal VOC 2012; ``ann_file`` names the split, for only some images have a label.

    Source: ``mmseg.datasets.PascalVOCDataset``.
    """

    # fmt: off
    METAINFO = {
        "classes": (
            "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat",
            "chair", "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant",
            "sheep", "sofa", "train", "tvmonitor",
        ),
        "palette": [
            [0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [128, 0, 128],
            [0, 128, 128], [128, 128, 128], [64, 0, 0], [192, 0, 0], [64, 128, 0], [192, 128, 0],
            [64, 0, 128], [192, 0, 128], [64, 128, 128], [192, 128, 128], [0, 64, 0], [128, 64, 0],
            [0, 192, 0], [128, 192, 0], [0, 64, 128],
        ],
        "submission": "palette",
    }
    # fmt: on
