"""Numbers and names of the files that predictions are written to."""

import numpy as np
import pytest
from PIL import Image

from mmseg_gc.datasets import BaseSegDataset, CityscapesDataset
from mmseg_gc.errors import UserError
from mmseg_gc.evaluation.label_files import LabelFiles, is_whole, label_file_ids, result_names


@pytest.mark.parametrize("reduce_zero_label", [False, True])
def test_numbers_are_those_that_the_loader_reads_as_the_class(tmp_path, reduce_zero_label):
    """A label file of every number, read as a data set reads it, gives each class its number."""
    Image.fromarray(np.arange(4, dtype=np.uint8)[None]).save(tmp_path / "a.png")
    dataset = BaseSegDataset(
        img_suffix=".png",
        metainfo=dict(classes=list("abcd")[: 4 - reduce_zero_label]),
        data_root=str(tmp_path),
        reduce_zero_label=reduce_zero_label,
        pipeline=[dict(type="LoadAnnotations")],
    )
    read = dataset[0]["gt_seg_map"][0]
    ids = label_file_ids(dataset.metainfo)
    assert ids.dtype == np.uint8
    for number, class_id in enumerate(read.tolist()):
        assert class_id == 255 or ids[class_id] == number


def test_chosen_classes_have_the_numbers_of_all():
    dataset = CityscapesDataset(metainfo=dict(classes=["car", "road"]), lazy_init=True)
    assert label_file_ids(dataset.metainfo)[:2].tolist() == [13, 0]


def test_maps_of_numbers_in_files_are_undone():
    meta = dict(classes=["no", "yes"], file_label_map={255: 1})
    assert label_file_ids(meta)[:2].tolist() == [0, 255]
    meta = dict(classes=["low", "high"], file_label_map={64: 1, 128: 2}, reduce_zero_label=True)
    assert label_file_ids(meta)[:2].tolist() == [64, 128]


@pytest.mark.parametrize(("count", "reduces"), [(256, True), (300, False)])
def test_more_classes_than_8_bits_have(tmp_path, count, reduces):
    meta = dict(classes=[str(i) for i in range(count)], reduce_zero_label=reduces)
    ids = label_file_ids(meta)
    assert ids.tolist() == [i + reduces for i in range(count)] and ids.dtype == np.uint16
    LabelFiles(str(tmp_path)).write(ids[None], "x/a.jpg")
    assert np.array_equal(np.array(Image.open(tmp_path / "a.png")), ids[None])


@pytest.mark.parametrize(
    ("images", "names"),
    [
        (["in/a.jpg", "in/b.png"], ["a", "b"]),
        (["in/day1/a.png", "in/day2/a.png", "in/day2/b.png"], ["day1/a", "day2/a", "b"]),
        (["in/a.jpg", "in/a.png"], ["a.jpg", "a.png"]),
        (
            ["in/1/a.jpg", "in/1/a.png", "in/2/a.png"],
            ["1/a.jpg", "1/a.png", "2/a"],
        ),
        (["in/a.jpg", "in/../in/a.jpg"], ["a", "a"]),
        (["in/a.jpg", "in/a.png", "in/a.jpg.tif"], ["a.jpg", "a.png", "a.jpg.tif"]),
        ([], []),
    ],
)
def test_every_image_has_a_name_of_its_own(images, names):
    assert result_names(images) == names


def test_a_name_that_is_taken_is_refused(tmp_path):
    files = LabelFiles(str(tmp_path))
    files.names = {"x/a.jpg": "x/a", "y/a.jpg": "x/a"}
    ids = np.zeros((1, 1), np.uint8)
    assert files.write(ids, "x/a.jpg") == str(tmp_path / "x/a.png")
    files.write(ids, "x/a.jpg")
    with pytest.raises(UserError, match=r"y/a\.jpg and x/a\.jpg would both be written"):
        files.write(ids, "y/a.jpg")


def test_a_folder_above_all_images_is_mirrored_below_it():
    images = ["in/a.png", "in/x/p.png", "more/x/p.png", "more/x/q.png"]
    roots = ["in", "in", "more", "more"]
    assert result_names(images[:2], roots[:2]) == ["a", "x/p"]
    assert result_names(images, roots) == ["a", "in/x/p", "more/x/p", "x/q"]


def test_files_that_have_their_end_are_whole(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7), dtype=np.uint8)
    for name in ("a.png", "a.jpg"):
        path = tmp_path / name
        Image.fromarray(pixels).save(path)
        content = path.read_bytes()
        assert is_whole(path)
        for broken in (content[:-1], content[:9], b"", content[:-1] + b"\0"):
            path.write_bytes(broken)
            assert not is_whole(path)
    assert not is_whole(tmp_path / "missing.png") and not is_whole(tmp_path)


def test_a_file_of_labels_is_whole_or_not_there(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    files, ids = LabelFiles(str(tmp_path)), np.zeros((1, 1), np.uint8)
    files.write(ids, "x/a.jpg")
    monkeypatch.setattr("os.replace", stop)
    for image in ("x/a.jpg", "x/b.jpg"):
        with pytest.raises(KeyboardInterrupt):
            files.write(ids + 1, image)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert np.array_equal(np.array(Image.open(tmp_path / "a.png")), ids)
