"""Joins made VOC 2012 and SBD sources, with real MATLAB files, in their owners' layouts."""

import importlib
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image

scipy_io = pytest.importorskip("scipy.io")
TRAIN, VAL = ["2007_000032", "2008_000008"], ["2007_000033", "2008_000009"]
SBD_TRAIN = ["2008_000002", "2008_000008", "2008_000009"]  # one of VOC's train, one of its val
SBD_VAL = ["2009_000010"]


@pytest.fixture
def convert(monkeypatch, capfd):
    """Runs the converter with arguments; returns exit status, what it printed, and its errors."""
    module = importlib.import_module("mmseg_gc.cli.converters.voc_aug")

    def call(*args):
        monkeypatch.setattr(sys, "argv", ["voc_aug.py", "--nproc", "2", *map(str, args)])
        with pytest.raises(SystemExit) as end:
            module.main()
        return end.value.code, *capfd.readouterr()

    return call


@pytest.fixture
def voc(tmp_path):
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation", "Annotations"):
        (root / folder).mkdir(parents=True)
    for name in {*TRAIN, *VAL, *SBD_TRAIN, *SBD_VAL}:
        Image.new("RGB", (12, 8)).save(root / "JPEGImages" / f"{name}.jpg")
        (root / "Annotations" / f"{name}.xml").write_text("<annotation/>")
    for name in TRAIN + VAL:
        Image.new("P", (12, 8)).save(root / "SegmentationClass" / f"{name}.png")
    lists = root / "ImageSets" / "Segmentation"
    (lists / "train.txt").write_text("\n".join(TRAIN) + "\n")
    (lists / "val.txt").write_text("\n".join(VAL) + "\n")
    return root


def class_map(name):
    return np.random.default_rng(int(name[-2:])).integers(0, 21, (8, 12), np.uint8)


@pytest.fixture
def sbd(tmp_path):
    root = tmp_path / "benchmark_RELEASE"
    (root / "dataset" / "cls").mkdir(parents=True)
    for name in SBD_TRAIN + SBD_VAL:
        boundaries = np.empty((20, 1), object)
        boundaries[:, 0] = [np.zeros((8, 12), np.uint8) for _ in range(20)]
        struct = {
            "Boundaries": boundaries,
            "Segmentation": class_map(name),
            "CategoriesPresent": np.unique(class_map(name))[:, None],
        }
        path = root / "dataset" / "cls" / f"{name}.mat"
        scipy_io.savemat(path, {"GTcls": struct}, do_compression=True)
    (root / "dataset" / "train.txt").write_text("\n".join(SBD_TRAIN))
    (root / "dataset" / "val.txt").write_text("\n".join(SBD_VAL))
    return root


def pack(root, path):
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as archive:
        archive.add(root, root.name)
    return path


def snapshot(root):
    return {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


def assert_converted(root):
    lists = root / "ImageSets" / "Segmentation"
    aug = (lists / "aug.txt").read_text().split()
    trainaug = (lists / "trainaug.txt").read_text().split()
    assert aug == ["2008_000002", "2009_000010"]
    assert trainaug == ["2007_000032", "2008_000002", "2008_000008", "2009_000010"]
    assert not set(trainaug) & set(VAL)
    for name in aug:
        image = Image.open(root / "SegmentationClassAug" / f"{name}.png")
        assert image.mode == "P"
        assert np.array_equal(np.asarray(image), class_map(name))


def test_folders_and_second_run(convert, voc, sbd):
    code, out, _ = convert(voc.parent, sbd, "--allow-partial")
    assert code == 0 and "labels converted |    4 |       0 |      0" in out
    assert_converted(voc)
    before = snapshot(voc)
    assert convert(voc.parent, sbd / "dataset", "--allow-partial")[0] == 0
    assert snapshot(voc) == before


def test_archives_and_second_run(convert, voc, sbd, tmp_path):
    tar = pack(voc.parent, tmp_path / "VOCtrainval_11-May-2012.tar")
    tgz = pack(sbd, tmp_path / "benchmark.tgz")
    out_dir = tmp_path / "out"
    args = (tar, tgz, "-o", out_dir, "--allow-partial")
    code, out, _ = convert(*args)
    assert code == 0 and "labels converted |    4 |       0 |      0" in out
    assert_converted(out_dir)
    assert not (out_dir / "Annotations").exists()
    images = sorted((out_dir / "JPEGImages").iterdir())
    assert len(images) == 6
    assert all(p.read_bytes() == (voc / "JPEGImages" / p.name).read_bytes() for p in images)
    before = snapshot(out_dir)
    code, out, _ = convert(*args)
    assert code == 0 and "labels converted |    0 |       4 |      0" in out
    assert snapshot(out_dir) == before


def test_palette_is_vocs(convert, voc, sbd):
    convert(voc, sbd, "--allow-partial")
    colours = Image.open(voc / "SegmentationClassAug" / "2008_000002.png").getpalette()
    assert colours[: 9 * 3] == [
        *(0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0, 0, 0, 128, 128, 0, 128),
        *(0, 128, 128, 128, 128, 128, 64, 0, 0),
    ]
    assert colours[20 * 3 : 21 * 3] == [0, 64, 128]
    assert colours[255 * 3 :] == [224, 224, 192]


def test_the_whole_set_is_demanded(convert, voc, sbd):
    code, _, err = convert(voc, sbd)
    assert code == 1 and "4 training images instead of 10582" in err
    assert not (voc / "SegmentationClassAug").exists()


@pytest.mark.parametrize("content", [b"MATLAB 5.0 MAT-file", "other variable", "wide ids", "ids"])
def test_broken_mat_is_named(convert, voc, sbd, content):
    path = sbd / "dataset" / "cls" / "2008_000002.mat"
    if content == "other variable":
        scipy_io.savemat(path, {"GTinst": 1})
    elif content == "wide ids":
        scipy_io.savemat(path, {"GTcls": {"Segmentation": np.full((8, 12), 300)}})
    elif content == "ids":
        scipy_io.savemat(path, {"GTcls": {"Segmentation": np.full((8, 12), 21, np.uint8)}})
    else:
        path.write_bytes(content)
    code, out, err = convert(voc, sbd, "--allow-partial")
    assert code == 1 and str(path) in err.splitlines()[-1] and "Traceback" not in err
    assert "labels converted |    3 |       0 |      1" in out


@pytest.mark.parametrize("name", ["VOCtrainval.tar", "VOCtrainval.tgz"])
def test_truncated_archive_is_named(convert, voc, sbd, tmp_path, name):
    archive = pack(voc.parent, tmp_path / name)
    archive.write_bytes(archive.read_bytes()[: -(archive.stat().st_size // 2)])
    code, _, err = convert(archive, sbd, "-o", tmp_path / "out", "--allow-partial")
    assert code == 1 and len(err.splitlines()) == 1
    assert f"{archive} is no zip or tar archive, or a truncated or damaged one" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["climb", "absolute", "symlink", "hardlink"])
def test_archives_that_lead_out_are_refused(convert, voc, sbd, tmp_path, kind):
    archive = pack(voc.parent, tmp_path / "VOCtrainval.tar")
    names = {"climb": "VOCdevkit/../../evil.jpg", "absolute": "/evil.jpg"}
    info = tarfile.TarInfo(names.get(kind, "VOCdevkit/VOC2012/JPEGImages/evil.jpg"))
    if kind.endswith("link"):
        info.type = tarfile.SYMTYPE if kind == "symlink" else tarfile.LNKTYPE
        info.linkname = "/etc/passwd"
    with tarfile.open(archive, "a") as file:
        file.addfile(info)
    code, _, err = convert(archive, sbd, "-o", tmp_path / "out", "--allow-partial")
    assert code == 1 and str(archive) in err and ("leads out" in err or "holds the link" in err)
    assert not (tmp_path / "out").exists()


def test_missing_scipy_names_the_cure(convert, voc, sbd, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    code, _, err = convert(voc, sbd)
    assert code == 1 and "pip install scipy" in err
