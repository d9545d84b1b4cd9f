import zlib

import numpy as np
import pytest
from PIL import Image

from mmseg_gc.datasets import PascalVOCDataset
from mmseg_gc.errors import UserError


def build(root, **options):
    return PascalVOCDataset(
        data_root=str(root),
        data_prefix={"img_path": "JPEGImages", "seg_map_path": "SegmentationClass"},
        pipeline=[{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}],
        **options,
    )


def test_names_colours_and_palette_png(voc_root):
    dataset = build(voc_root, ann_file="ImageSets/Segmentation/val.txt")
    classes, palette = dataset.metainfo["classes"], dataset.metainfo["palette"]
    assert (len(classes), classes[0], classes[20]) == (21, "background", "tvmonitor")
    # Checksums of the lists that mmsegmentation 1.x has.
    assert zlib.crc32(repr(classes).encode()) == 3346127871
    assert zlib.crc32(repr(palette).encode()) == 220446477
    assert len(dataset) == 2
    for sample in dataset:
        in_file = Image.open(sample["seg_map_path"])
        assert in_file.mode == "P"
        assert (sample["gt_seg_map"] == np.array(in_file)).all()


def test_without_a_list_the_cure_is_named(voc_root):
    with pytest.raises(UserError, match="3 of 8 images have no label.*ann_file"):
        build(voc_root)
