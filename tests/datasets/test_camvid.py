import os
from pathlib import Path

import numpy as np
import pytest

from mmseg_gc.datasets import CamVidDataset


def build(root: Path, split: str) -> CamVidDataset:
    return CamVidDataset(
        data_root=str(root),
        data_prefix={"img_path": split, "seg_map_path": f"{split}annot"},
        pipeline=[{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}],
    )


def test_void_is_ignored(camvid_root):
    dataset = build(camvid_root, "train")
    assert dataset.metainfo["classes"][::5] == ("Sky", "Tree", "Bicyclist")
    assert len(dataset.metainfo["palette"]) == 11
    assert len(dataset) == 4
    assert dataset.ignore_index == dataset.get_data_info(0)["ignore_index"] == 11
    seen = np.unique(np.concatenate([sample["gt_seg_map"].ravel() for sample in dataset]))
    assert seen.tolist() == list(range(12))


REAL = Path(os.environ.get("MMSEG_GC_CAMVID", "../shared/camvid"))


@pytest.mark.skipif(not REAL.is_dir(), reason="MMSEG_GC_CAMVID names no CamVid folder")
def test_real_camvid_has_every_pair():
    assert [len(build(REAL, split)) for split in ("train", "val")] == [367, 101]
    assert build(REAL, "val")[100]["gt_seg_map"].shape == (360, 480)
