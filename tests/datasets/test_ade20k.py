import zlib

import cv2
import numpy as np

from mmseg_gc.datasets import ADE20KDataset


def test_names_colours_and_ids_from_one(ade20k_root):
    dataset = ADE20KDataset(
        data_root=str(ade20k_root),
        data_prefix={"img_path": "images/training", "seg_map_path": "annotations/training"},
        pipeline=[{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}],
    )
    classes, palette = dataset.metainfo["classes"], dataset.metainfo["palette"]
    # The trailing blank of "bed " is mmsegmentation's.
    assert (len(classes), classes[0], classes[7], classes[149]) == (150, "wall", "bed ", "flag")
    # Checksums of the lists that mmsegmentation 1.x has.
    assert zlib.crc32(repr(classes).encode()) == 2417828559
    assert zlib.crc32(repr(palette).encode()) == 1168250808
    assert len(dataset) == 4
    assert dataset.metainfo["reduce_zero_label"] is True
    for sample in dataset:
        in_file = cv2.imread(sample["seg_map_path"], cv2.IMREAD_UNCHANGED).astype(int)
        assert (sample["gt_seg_map"] == np.where(in_file == 0, 255, in_file - 1)).all()
