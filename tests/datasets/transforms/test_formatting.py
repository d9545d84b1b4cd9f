import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData

from mmseg_gc.datasets import CityscapesDataset
from mmseg_gc.datasets.transforms import PackSegInputs
from mmseg_gc.structures import SegDataSample


@pytest.mark.parametrize("view", [np.s_[:], np.s_[:, ::-1], np.s_[1:, 2:]])
def test_tensors_and_meta(view):
    image = np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3)[view]
    label = np.arange(30, dtype=np.uint8).reshape(5, 6)[view]
    results = {"img": image, "gt_seg_map": label, "img_path": "a.png", "flip": False, "scale": 1}
    packed = PackSegInputs()(results)
    inputs, sample = packed["inputs"], packed["data_samples"]
    assert inputs.dtype == torch.uint8 and inputs.is_contiguous()
    assert (inputs.permute(1, 2, 0).numpy() == image).all()
    assert isinstance(sample, SegDataSample) and isinstance(sample.gt_sem_seg, PixelData)
    assert sample.gt_sem_seg.data.dtype == torch.uint8
    assert (sample.gt_sem_seg.data[0].numpy() == label).all()
    assert sample.metainfo == {"img_path": "a.png", "flip": False}


def test_grey_and_16_bit_images():
    packed = PackSegInputs()({"img": np.full((4, 5), 60000, np.uint16)})
    assert packed["inputs"].shape == (1, 4, 5) and packed["inputs"].dtype == torch.uint16
    assert "gt_sem_seg" not in packed["data_samples"]


def test_meta_keys_can_be_chosen():
    packed = PackSegInputs(meta_keys=["scale"])({"scale": 1, "flip": True})
    assert packed["data_samples"].metainfo == {"scale": 1} and "inputs" not in packed


def test_multi_scale_and_flip_keep_their_order(cityscapes_root):
    """Scale by scale, plain before flipped; labels come in the image's own size."""
    flips = [{"type": "RandomFlip", "prob": float(p), "direction": "horizontal"} for p in (0, 1)]
    scales = [{"type": "Resize", "scale_factor": s, "keep_ratio": True} for s in (0.5, 1.0)]
    last = [[{"type": "LoadAnnotations"}], [{"type": "PackSegInputs"}]]
    with DefaultScope.overwrite_default_scope("mmseg_gc"):
        dataset = CityscapesDataset(
            data_root=str(cityscapes_root),
            data_prefix={"img_path": "leftImg8bit/val", "seg_map_path": "gtFine/val"},
            pipeline=[
                {"type": "LoadImageFromFile"},
                {"type": "TestTimeAug", "transforms": [scales, flips, *last]},
            ],
        )
    packed = dataset[0]
    half, half_flipped, full, full_flipped = packed["inputs"]
    assert half.shape == (3, 32, 64) and full.shape == (3, 64, 128)
    assert (full.flip(-1) == full_flipped).all() and (half.flip(-1) == half_flipped).all()
    assert [sample.flip for sample in packed["data_samples"]] == [False, True, False, True]
    labels = [sample.gt_sem_seg.data for sample in packed["data_samples"]]
    assert all((label == labels[0]).all() for label in labels)
    assert labels[0].shape == (1, 64, 128)
    assert packed["data_samples"][1].flip_direction == "horizontal"


def test_its_keys_are_printed():
    assert repr(PackSegInputs(["img_path"])) == "PackSegInputs(meta_keys=('img_path',))"
