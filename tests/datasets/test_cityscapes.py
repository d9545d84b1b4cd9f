import zlib

import numpy as np

from mmseg_gc.datasets import CityscapesDataset


def test_names_colours_and_files(cityscapes_root):
    dataset = CityscapesDataset(
        data_root=str(cityscapes_root),
        data_prefix={"img_path": "leftImg8bit/train", "seg_map_path": "gtFine/train"},
        pipeline=[{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}],
    )
    classes, palette = dataset.metainfo["classes"], dataset.metainfo["palette"]
    assert (len(classes), classes[0], classes[18]) == (19, "road", "bicycle")
    # Checksums of the lists that mmsegmentation 1.x has.
    assert zlib.crc32(repr(classes).encode()) == 324130626
    assert zlib.crc32(repr(palette).encode()) == 3634515098
    assert len(dataset) == 4
    sample = dataset[0]
    assert sample["seg_map_path"].endswith(
        "gtFine/train/aachen/aachen_000000_000000_gtFine_labelTrainIds.png"
    )
    assert sample["img"].shape == (64, 128, 3)
    assert set(np.unique(sample["gt_seg_map"])) <= {*range(19), 255}
