"""Which files are data: hidden ones are not, suffixes come in several and in any case."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from mmengine.logging import MMLogger
from PIL import Image

from mmseg_gc.datasets import BaseSegDataset
from mmseg_gc.datasets.files import FolderListing, is_hidden, without_suffix
from mmseg_gc.errors import UserError

PREFIX = {"img_path": "images", "seg_map_path": "labels"}


def put(root: Path, *files: str) -> Path:
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = "JPEG" if path.suffix.lower() in (".jpg", ".jpeg") else None
        Image.fromarray(np.zeros((2, 2), np.uint8)).save(path, format=kind)
    return root


def names(root: Path, **changes) -> list[tuple[str, str]]:
    given = {"data_root": str(root), "data_prefix": PREFIX, "metainfo": {"classes": ["a"]}}
    dataset = BaseSegDataset(**(given | changes))
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    keys = ("img_path", "seg_map_path")
    return [tuple(Path(info[key]).relative_to(root).as_posix() for key in keys) for info in infos]


@pytest.fixture
def warnings(monkeypatch) -> list[str]:
    said = []

    class Listener(logging.Handler):
        def emit(self, record):
            said.append(record.getMessage())

    logger = MMLogger.get_current_instance()
    monkeypatch.setattr(logger, "handlers", [Listener()])
    return said


def test_hidden_files_and_folders_are_no_data(tmp_path, warnings):
    put(tmp_path, "images/a.jpg", "labels/a.png", "images/deep/b.jpg", "labels/deep/b.png")
    junk = [".ipynb_checkpoints/a-checkpoint", "__MACOSX/a", "@eaDir/x", "deep/.cache/y", "._a"]
    put(tmp_path, *(f"images/{name}.jpg" for name in junk))
    put(tmp_path, *(f"labels/{name}.png" for name in junk[:2]))
    (tmp_path / "images/Thumbs.db").write_bytes(b"x")
    assert [image for image, _ in names(tmp_path)] == ["images/a.jpg", "images/deep/b.jpg"]
    assert warnings == []


def test_a_root_that_is_hidden_itself_is_none(tmp_path):
    root = put(tmp_path / ".cache/data", "images/a.jpg", "labels/a.png")
    assert names(root) == [("images/a.jpg", "labels/a.png")]


def test_suffixes_fit_in_any_case(tmp_path):
    put(tmp_path, "images/a.jpg", "images/b.JPG", "labels/a.PNG", "labels/b.png")
    expected = [("images/a.jpg", "labels/a.PNG"), ("images/b.JPG", "labels/b.png")]
    assert names(tmp_path) == expected
    (tmp_path / "list.txt").write_text("\ufeffa\r\nb.jpg\r\n", encoding="utf-8")
    assert names(tmp_path, ann_file="list.txt") == expected


def test_several_suffixes(tmp_path):
    put(tmp_path, "images/a.jpg", "images/b.tif", "labels/a_mask.png", "labels/b.tif")
    found = names(tmp_path, img_suffix=(".jpg", ".tif"), seg_map_suffix=["_mask.png", ".tif"])
    assert found == [("images/a.jpg", "labels/a_mask.png"), ("images/b.tif", "labels/b.tif")]
    with pytest.raises(UserError, match="img_suffix is empty"):
        names(tmp_path, img_suffix=())


def test_two_images_of_one_name_are_refused(tmp_path):
    put(tmp_path, "images/a.jpg", "images/a.png", "labels/a.png")
    with pytest.raises(UserError, match=r"several images, first a\.jpg, a\.png: keep one"):
        names(tmp_path, img_suffix=(".jpg", ".png"))


def test_images_of_other_suffixes_are_named_once(tmp_path, warnings):
    put(tmp_path, "images/a.jpg", "images/b.png", "images/c.jpeg", "labels/a.png")
    assert len(names(tmp_path)) == len(names(tmp_path)) == 1
    (said,) = warnings
    assert "1 of '.jpeg'" in said and "1 of '.png'" in said and "img_suffix=('.jpg', '." in said


def test_labels_beside_their_images_are_not_left_out(tmp_path, warnings):
    put(tmp_path, "all/a.jpg", "all/a.png", "all/labels/b.png")
    prefix = {"img_path": "all", "seg_map_path": "all"}
    assert names(tmp_path, data_prefix=prefix) == [("all/a.jpg", "all/a.png")]
    assert warnings == []


def test_labels_without_an_image_are_named(tmp_path, warnings):
    put(tmp_path, "images/a.jpg", "labels/a.png", "labels/b.png", "labels/._c.png")
    assert len(names(tmp_path)) == 1
    (said,) = warnings
    assert "1 labels have no image of their name" in said and "labels/b.png" in said


def test_pieces():
    assert without_suffix("a_x.PNG", (".png", "_x.png")) == "a"
    assert without_suffix("a.jpg", (".png",)) is None
    assert without_suffix("a.jpg", ("",)) == "a.jpg"
    assert is_hidden("a/.b/c.png") and is_hidden("Thumbs.db") and not is_hidden("a.b/c.png")


def test_listing_prefers_the_exact_name_and_the_first_suffix(tmp_path):
    put(tmp_path, "a.png", "a.PNG", "b.JPG", "B.jpg")
    listing = FolderListing()
    assert listing.find(f"{tmp_path}/a", (".png",)) == f"{tmp_path}/a.png"
    assert listing.find(f"{tmp_path}/a", (".tif", ".PNG", ".png")) == f"{tmp_path}/a.PNG"
    assert (
        listing.find(f"{tmp_path}/b", (".jpg",)) == f"{tmp_path}/b.JPG"
    )  # the stem keeps its case
    assert listing.find(f"{tmp_path}/c", (".jpg", ".png")) == f"{tmp_path}/c.jpg"
    shutil.rmtree(tmp_path)
    assert listing.has(f"{tmp_path}/a.png")  # a folder is listed once
