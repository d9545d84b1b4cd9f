"""Lays out and checks made ADE20K sources in the owner's layout."""

import importlib
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def convert(monkeypatch, capfd):
    """Runs the converter with arguments; returns exit status, what it printed, and its errors."""
    module = importlib.import_module("mmseg_gc.cli.converters.ade20k")

    def call(*args):
        monkeypatch.setattr(sys, "argv", ["ade20k.py", "--nproc", "2", *map(str, args)])
        with pytest.raises(SystemExit) as end:
            module.main()
        return end.value.code, *capfd.readouterr()

    return call


@pytest.fixture
def raw(tmp_path):
    root = tmp_path / "ADEChallengeData2016"
    rng = np.random.default_rng(0)
    for split, short, count in (("training", "train", 3), ("validation", "val", 2)):
        for kind in ("images", "annotations"):
            (root / kind / split).mkdir(parents=True)
        for index in range(1, count + 1):
            name = f"{split}/ADE_{short}_{index:08d}"
            Image.new("RGB", (20, 10)).save(root / "images" / f"{name}.jpg")
            ids = rng.integers(0, 151, (10, 20), np.uint8)
            Image.fromarray(ids).save(root / "annotations" / f"{name}.png")
    (root / "objectInfo150.txt").write_text("Idx Ratio Train Val Stuff Name\n")
    return root


def pack(root):
    path = root.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(root.rglob("*.*")):
            archive.write(file, file.relative_to(root.parent))
    return path


def snapshot(root):
    return {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


def test_folder_is_checked_in_place(convert, raw):
    before = snapshot(raw)
    code, out, _ = convert(raw, "--allow-partial")
    assert code == 0 and "pairs checked |    5 |       0 |      0" in out
    assert snapshot(raw) == before


def test_archive_is_laid_out_once(convert, raw, tmp_path):
    archive, out_dir = pack(raw), tmp_path / "out"
    code, out, _ = convert(archive, "-o", out_dir, "--allow-partial")
    assert code == 0 and "files placed  |   10 |       0 |      0" in out
    for path in raw.rglob("ADE*"):
        assert (out_dir / path.relative_to(raw)).read_bytes() == path.read_bytes()
    damaged = out_dir / "images/training/ADE_train_00000002.jpg"
    damaged.write_bytes(bytes(damaged.stat().st_size))  # the right size, other content
    before = snapshot(out_dir)
    code, out, _ = convert(archive, "-o", out_dir, "--allow-partial")
    assert code == 0 and "files placed  |    1 |       9 |      0" in out
    after = snapshot(out_dir)
    assert {path for path in after if after[path] != before[path]} == {damaged}


def test_counts_of_the_whole_set_are_demanded(convert, raw):
    code, _, err = convert(raw)
    assert code == 1 and "3 images instead of 20210" in err and "--allow-partial" in err


def test_lonely_image_is_named(convert, raw):
    (raw / "annotations/validation/ADE_val_00000002.png").unlink()
    code, _, err = convert(raw, "--allow-partial")
    assert code == 1 and "validation/ADE_val_00000002 has no annotation" in err


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.full((10, 20), 151, np.uint8), "has the ids [151]"),
        (np.zeros((20, 10), np.uint8), "is 10x20, its image 20x10"),
        (np.zeros((10, 20, 3), np.uint8), "has mode RGB"),
    ],
)
def test_wrong_annotation_is_named(convert, raw, labels, words):
    path = raw / "annotations/training/ADE_train_00000001.png"
    Image.fromarray(labels).save(path)
    code, out, err = convert(raw, "--allow-partial")
    assert code == 1 and str(path) in err and words in err
    assert "pairs checked |    4 |       0 |      1" in out


def test_the_full_ade20k_is_not_taken_for_the_challenge(convert, tmp_path):
    full = tmp_path / "ADE20K_2021_17_01" / "images" / "ADE" / "training" / "urban"
    full.mkdir(parents=True)
    Image.new("RGB", (2, 2)).save(full / "ADE_train_00000001.jpg")
    code, _, err = convert(tmp_path / "ADE20K_2021_17_01")
    assert code == 1 and "images/training/*.jpg is missing" in err
