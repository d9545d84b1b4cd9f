"""Two images a sample."""

import numpy as np
import pytest
from PIL import Image

from mmseg_gc.datasets import BaseCDDataset, LEVIRCDDataset
from mmseg_gc.errors import UserError

FOLDERS = dict(img_path="train/A", img_path2="train/B", seg_map_path="train/label")


@pytest.fixture
def levir_root(tmp_path):
    """LEVIR-CD: two samples, whose labels hold 0 and 255 as the owner has them."""
    for number, folder in enumerate(("A", "B", "label")):
        (tmp_path / "train" / folder).mkdir(parents=True)
        for name in ("train_1.png", "train_2.png"):
            shape = (2, 2) if folder == "label" else (2, 2, 3)
            pixels = np.full(shape, 255 * (number == 2), np.uint8)
            pixels[0] = 0
            Image.fromarray(pixels).save(tmp_path / "train" / folder / name)
    return tmp_path


def test_both_images_and_the_label(levir_root):
    dataset = LEVIRCDDataset(
        data_root=str(levir_root), data_prefix=FOLDERS, pipeline=[{"type": "LoadAnnotations"}]
    )
    assert len(dataset) == 2
    sample = dataset[1]
    assert [sample[key].removeprefix(f"{levir_root}/") for key in ("img_path", "img_path2")] == [
        "train/A/train_2.png",
        "train/B/train_2.png",
    ]
    assert sample["gt_seg_map"].tolist() == [[0, 0], [1, 1]]


def test_names_come_from_a_list_and_suffixes_differ(levir_root):
    (levir_root / "list.txt").write_text("train_2\n")
    (levir_root / "train/B/train_2.png").rename(levir_root / "train/B/train_2_later.jpg")
    dataset = BaseCDDataset("list.txt", ".png", "_later.jpg", FOLDERS, data_root=str(levir_root))
    assert dataset.get_data_info(0)["img_path2"] == f"{levir_root}/train/B/train_2_later.jpg"


def test_what_is_missing_is_named(levir_root):
    options = dict(data_root=str(levir_root), data_prefix=FOLDERS)
    (levir_root / "train/B/train_1.png").unlink()
    with pytest.raises(UserError, match="1 of 2 .* no second one, first '.*B/train_1.png'"):
        LEVIRCDDataset(**options)
    with pytest.raises(UserError, match="needs img_path2"):
        LEVIRCDDataset(**options | dict(data_prefix=dict(img_path="train/A")))
    with pytest.raises(UserError, match="no packed copy holds"):
        LEVIRCDDataset(**options, packed="train.pack")
    with pytest.raises(UserError, match="'.*train/C' does not exist.*data_prefix.img_path2"):
        LEVIRCDDataset(**options | dict(data_prefix=FOLDERS | dict(img_path2="train/C")))
