"""The files that the benchmarks' servers take."""

import numpy as np
import pytest
import torch
from cityscapesscripts.helpers.labels import name2label
from PIL import Image

from mmseg_gc.datasets import ADE20KDataset, CityscapesDataset, PascalVOCDataset
from mmseg_gc.errors import UserError
from mmseg_gc.evaluation.submission import file_ids
from mmseg_gc.registry import METRICS


def written(tmp_path, dataset, pred: list) -> Image.Image:
    """The file of an image on which every class id of ``pred`` was predicted."""
    writer = METRICS.build({"type": "SubmissionWriter", "output_dir": str(tmp_path / "out")})
    writer.dataset_meta = dataset.metainfo
    sample = {"pred_sem_seg": {"data": torch.tensor([[pred]], dtype=torch.uint8)}}
    writer.process({}, [sample | {"img_path": "x/berlin_000000_000019_leftImg8bit.jpg"}])
    assert writer.evaluate(1) == {}
    return Image.open(tmp_path / "out" / "berlin_000000_000019_leftImg8bit.png")


def test_cityscapes_gets_label_ids(tmp_path):
    image = written(tmp_path, CityscapesDataset(lazy_init=True), list(range(19)))
    assert image.mode == "L"
    # labels.py of cityscapesscripts: road 7, sidewalk 8, building 11, … bicycle 33.
    assert np.array(image)[0].tolist() == [
        7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33,
    ]  # fmt: skip


def test_classes_of_a_subset_keep_their_label_ids(tmp_path):
    dataset = CityscapesDataset(metainfo={"classes": ["car", "road"]}, lazy_init=True)
    ids = np.array(written(tmp_path, dataset, [0, 1]))[0].tolist()
    assert ids == [name2label["car"].id, name2label["road"].id] == [26, 7]


def test_ade_counts_from_one(tmp_path):
    image = written(tmp_path, ADE20KDataset(lazy_init=True), [0, 149])
    assert image.mode == "L" and np.array(image)[0].tolist() == [1, 150]


def test_ade_subset_is_mapped_back():
    dataset = ADE20KDataset(metainfo={"classes": ["sky", "wall"]}, lazy_init=True)
    assert file_ids(dataset.metainfo).tolist() == [3, 1]


def test_voc_gets_its_palette(tmp_path):
    image = written(tmp_path, PascalVOCDataset(lazy_init=True), [0, 1, 20])
    assert image.mode == "P" and np.array(image)[0].tolist() == [0, 1, 20]
    assert np.array(image.convert("RGB"))[0].tolist() == [[0, 0, 0], [128, 0, 0], [0, 64, 128]]


def test_two_images_of_one_name(tmp_path):
    writer = METRICS.build({"type": "SubmissionWriter", "output_dir": str(tmp_path)})
    writer.dataset_meta = {"classes": ["a"]}
    sample = {"pred_sem_seg": {"data": torch.zeros(1, 1, 1, dtype=torch.uint8)}}
    writer.process({}, [sample | {"img_path": "x/a.jpg"}])
    with pytest.raises(UserError, match=r"y/a\.jpg and x/a\.jpg would both be written to .*a\.png"):
        writer.process({}, [sample | {"img_path": "y/a.jpg"}])


def test_each_part_of_a_concatenation_has_its_own_numbers(tmp_path):
    writer = METRICS.build({"type": "SubmissionWriter", "output_dir": str(tmp_path)})
    writer.dataset_meta = {"classes": ["a", "b"], "reduce_zero_label": False}
    sample = {"pred_sem_seg": {"data": torch.tensor([[[0, 1]]], dtype=torch.uint8)}}
    own = {"img_path": "b.jpg", "reduce_zero_label": True}
    writer.process({}, [sample | {"img_path": "a.jpg"}, sample | own])
    assert [np.array(Image.open(tmp_path / f"{name}.png")).tolist() for name in "ab"] == [
        [[0, 1]],
        [[1, 2]],
    ]


def test_several_benchmarks_at_once_are_refused():
    with pytest.raises(UserError, match="test one after the other"):
        file_ids({"classes": ["a"], "submission": "differing"})
