"""Instances of drawn CamVid labels, piece by piece."""

import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def root(tmp_path):
    label = np.full((10, 20), 3, np.uint8)
    label[2:5, 1:5] = 8  # a car of 12 pixels
    label[5, 5] = 8  # touches it by a corner: one piece
    label[2:5, 10:12] = 9  # a pedestrian of 6
    label[7:9, 10:12] = 9  # and one of 4, too small
    label[0, 19] = 11
    for split in ("train", "val"):
        for name, array in ((split, np.zeros((10, 20, 3), np.uint8)), (f"{split}annot", label)):
            (tmp_path / name).mkdir()
            Image.fromarray(array).save(tmp_path / name / "a.png")
    return tmp_path


def test_pieces(run_tool, root):
    finished = run_tool("convert_datasets/camvid_instances.py", root, "--min-area", "6")
    assert finished.status == 0, finished.err
    assert "instances_val.json: 1 images, 1 Car, 1 Pedestrian, 0 Bicyclist" in finished.out
    coco = json.loads((root / "annotations" / "instances_train.json").read_text())
    assert coco["images"] == [dict(id=1, file_name="a.png", width=20, height=10)]
    car, walker = coco["annotations"]
    assert (car["id"], walker["id"]) == (1, 2)
    assert (car["category_id"], car["bbox"], car["area"]) == (8, [1, 2, 5, 4], 13)
    # Column by column: 12 pixels before the car, three of it, seven others, and so on.
    assert car["segmentation"]["size"] == [10, 20]
    assert car["segmentation"]["counts"] == [12, 3, 7, 3, 7, 3, 7, 3, 10, 1, 144]
    assert (walker["category_id"], walker["bbox"], walker["area"]) == (9, [10, 2, 2, 3], 6)
    assert walker["segmentation"]["counts"] == [102, 3, 7, 3, 85]


def test_a_mask_that_begins_in_the_corner(run_tool, root):
    labels = np.full((2, 2), 10, np.uint8)
    Image.fromarray(labels).save(root / "valannot" / "a.png")
    run_tool("convert_datasets/camvid_instances.py", root, "--min-area", "1")
    coco = json.loads((root / "annotations" / "instances_val.json").read_text())
    assert coco["annotations"][0]["segmentation"]["counts"] == [0, 4]


def test_labels_of_something_else(run_tool, root):
    Image.fromarray(np.full((10, 20), 200, np.uint8)).save(root / "valannot" / "a.png")
    finished = run_tool("convert_datasets/camvid_instances.py", root)
    assert finished.status == 1
    assert "has id 200, CamVid's are 0 to 11" in finished.err
    assert not (root / "annotations").exists(), "one split alone was written"


def test_a_missing_image_and_a_missing_folder(run_tool, root, tmp_path):
    (root / "val" / "a.png").unlink()
    finished = run_tool("convert_datasets/camvid_instances.py", root)
    assert finished.status == 1 and "has no image" in finished.err
    finished = run_tool("convert_datasets/camvid_instances.py", tmp_path / "nowhere")
    assert finished.status == 1 and "no trainannot/*.png" in finished.err
