"""Cityscapes: 19 classes of street scenes."""

from mmseg_gc.datasets.base import BaseSegDataset
from mmseg_gc.registry import DATASETS


@DATASETS.register_module()
class CityscapesDataset(BaseSegDataset):
    """Cityscapes with labels in train ids, where 255 is ignored.

    Source: ``mmseg.datasets.CityscapesDataset``.
    """

    # fmt: off
    METAINFO = {
        "classes": (
            "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light",
            "traffic sign", "vegetation", "terrain", "sky", "person", "rider", "car", "truck",
            "bus", "train", "motorcycle", "bicycle",
        ),
        "palette": [
            [128, 64, 128], [244, 35, 232], [70, 70, 70], [102, 102, 156], [190, 153, 153],
            [153, 153, 153], [250, 170, 30], [220, 220, 0], [107, 142, 35], [152, 251, 152],
            [70, 130, 180], [220, 20, 60], [255, 0, 0], [0, 0, 142], [0, 0, 70], [0, 60, 100],
            [0, 80, 100], [0, 0, 230], [119, 11, 32],
        ],
        "submission": "cityscapes",
    }
    # fmt: on
    img_suffix = "_leftImg8bit.png"
    seg_map_suffix = "_gtFine_labelTrainIds.png"
