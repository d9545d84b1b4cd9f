"""Converts made Cityscapes sources, in the owner's layout, and compares with cityscapesscripts."""

import importlib
import json
import os
import signal
import stat
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from cityscapesscripts.preparation.json2labelImg import json2labelImg
from PIL import Image

TOOLS = Path(__file__).parents[2] / "tools" / "convert_datasets"
NAMES = [
    ("train", "aachen", "aachen_000000_000019"),
    ("train", "bad-hersfeld", "bad-hersfeld_000004_000019"),
    ("val", "ulm", "ulm_000001_000019"),
    ("test", "bonn", "bonn_000002_000019"),
]


@pytest.fixture
def convert(monkeypatch, capfd):
    """Runs the converter with arguments; returns exit status, what it printed, and its errors."""
    module = importlib.import_module("mmseg_gc.cli.converters.cityscapes")

    def call(*args):
        monkeypatch.setattr(sys, "argv", ["cityscapes.py", "--nproc", "2", *map(str, args)])
        with pytest.raises(SystemExit) as end:
            module.main()
        return end.value.code, *capfd.readouterr()

    return call


def annotation(seed, height=48, width=96):
    """Polygons of every manner: grouped, overlapping, deleted, never drawn, beyond the border."""
    rng = np.random.default_rng(seed)
    labels = [
        "sky",
        "road",
        "building",
        "cargroup",
        "person",
        "license plate",
        "rail track",
        "train",
    ]
    objects = []
    for label in labels * 2:
        points = rng.integers((-9, -9), (width + 9, height + 9), (rng.integers(3, 9), 2))
        objects.append({"label": label, "polygon": points.tolist()})
    objects[3]["deleted"] = 1
    return {"imgHeight": height, "imgWidth": width, "objects": objects}


@pytest.fixture
def raw(tmp_path):
    root = tmp_path / "raw"
    for seed, (split, city, name) in enumerate(NAMES):
        gt, images = root / "gtFine" / split / city, root / "leftImg8bit" / split / city
        gt.mkdir(parents=True, exist_ok=True)
        images.mkdir(parents=True, exist_ok=True)
        (gt / f"{name}_gtFine_polygons.json").write_text(json.dumps(annotation(seed)))
        Image.new("RGB", (96, 48), (seed, 0, 0)).save(images / f"{name}_leftImg8bit.png")
    return root


def pack(root, path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README", "what the owner says")
        for file in sorted(root.rglob("*.*")):
            archive.write(file, file.relative_to(root))
    return path


def assert_equals_cityscapesscripts(root, scratch):
    sources = sorted(root.glob("gt*/*/*/*_polygons.json"))
    for source in sources:
        json2labelImg(str(source), str(scratch), "trainIds")
        ours = Image.open(str(source).replace("_polygons.json", "_labelTrainIds.png"))
        assert ours.mode == "L"
        assert np.array_equal(np.asarray(ours), np.asarray(Image.open(scratch)))
    return len(sources)


def snapshot(root):
    return {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


def test_folder_equals_cityscapesscripts_and_second_run_redoes_nothing(convert, raw, tmp_path):
    code, out, _ = convert(raw)
    assert code == 0
    assert "labels drawn |    4 |       0 |      0" in out
    assert assert_equals_cityscapesscripts(raw, tmp_path / "theirs.png") == 4
    assert (raw / "train.txt").read_text() == (
        "aachen/aachen_000000_000019\nbad-hersfeld/bad-hersfeld_000004_000019\n"
    )
    assert (raw / "val.txt").read_text() == "ulm/ulm_000001_000019\n"
    assert (raw / "test.txt").read_text() == "bonn/bonn_000002_000019\n"
    before = snapshot(raw)
    code, out, _ = convert(raw)
    assert code == 0
    assert "labels drawn |    0 |       4 |      0" in out
    assert snapshot(raw) == before


def test_archives_and_second_run(convert, raw, tmp_path):
    labels = pack(raw / "gtFine", tmp_path / "unprefixed.zip")
    out_dir = tmp_path / "out"
    code, _, err = convert(labels, "-o", out_dir)
    assert code == 1 and "gtFine/SPLIT/CITY/*_polygons.json is missing" in err
    archive = pack(raw, tmp_path / "gtFine_trainvaltest.zip")
    code, out, _ = convert(archive, "-o", out_dir)
    assert code == 0
    assert "files placed |    8 |" in out and "labels drawn |    4 |" in out
    assert assert_equals_cityscapesscripts(out_dir, tmp_path / "theirs.png") == 4
    assert not list((raw / "gtFine").rglob("*.png"))
    before = snapshot(out_dir)
    assert convert(archive, "-o", out_dir)[0] == 0
    assert snapshot(out_dir) == before


def test_other_folder_and_coarse_labels(convert, raw, tmp_path):
    fine = raw / "gtFine" / "train"
    coarse = raw / "gtCoarse" / "train_extra" / "aachen"
    coarse.mkdir(parents=True)
    for path in fine.glob("aachen/*.json"):
        path.rename(coarse / path.name.replace("gtFine", "gtCoarse"))
    code, _, _ = convert(raw, "-o", tmp_path / "out", "--gt-dir", "gtCoarse")
    assert code == 0
    assert assert_equals_cityscapesscripts(tmp_path / "out", tmp_path / "theirs.png") == 1
    lines = (tmp_path / "out" / "gtCoarse_train_extra.txt").read_text()
    assert lines == "aachen/aachen_000000_000019\n"
    assert (tmp_path / "out/leftImg8bit/val/ulm/ulm_000001_000019_leftImg8bit.png").is_file()


def test_mends_stale_truncated_and_foreign_labels(convert, raw, tmp_path):
    convert(raw)
    first, second, third, _ = sorted(raw.rglob("*_labelTrainIds.png"))
    whole = first.read_bytes()
    first.write_bytes(whole[: len(whole) // 2])
    Image.new("L", (96, 48), 33).save(second)  # a label id, no training id
    os.utime(third, (0, 0))
    code, out, _ = convert(raw)
    assert code == 0 and "labels drawn |    3 |       1 |      0" in out
    assert assert_equals_cityscapesscripts(raw, tmp_path / "theirs.png") == 4


def test_dry_run_writes_nothing(convert, raw, tmp_path):
    before = snapshot(raw)
    code, out, _ = convert(raw, "--dry-run")
    assert code == 0 and snapshot(raw) == before
    assert f"would write {raw}/gtFine/val/ulm/ulm_000001_000019_gtFine_labelTrainIds.png" in out
    archive = pack(raw, tmp_path / "raw.zip")
    code, out, _ = convert(archive, "-o", tmp_path / "out", "--dry-run")
    assert code == 0 and out.count("would write") == 8 + 4 + 3
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"imgHeight": 4, "imgWidth": 0, "objects": []}',
        '{"imgHeight": 4, "imgWidth": 4, "objects": [{"label": "unicorn", "polygon": []}]}',
        '{"imgHeight": 4, "imgWidth": 4, "objects": [{"label": "car", "polygon": [[1, "x"]]}]}',
    ],
)
def test_broken_polygons_are_named_and_the_rest_is_converted(convert, raw, content):
    broken = raw / "gtFine/train/aachen/aachen_000000_000019_gtFine_polygons.json"
    broken.write_text(content)
    code, out, err = convert(raw)
    assert code == 1 and str(broken) in err.splitlines()[-1] and "Traceback" not in err
    assert len(list(raw.rglob("*_labelTrainIds.png"))) == 3


def test_wrong_sources_get_one_sentence(convert, raw, tmp_path):
    (tmp_path / "empty").mkdir()
    truncated = pack(raw, tmp_path / "gtFine_trainvaltest.zip")
    truncated.write_bytes(truncated.read_bytes()[:-200])
    for source, words in [
        (tmp_path / "nowhere", "does not exist"),
        (tmp_path / "empty", "nothing to convert"),
        (truncated, "truncated"),
    ]:
        code, _, err = convert(source, "-o", tmp_path / "out")
        assert code == 1 and len(err.splitlines()) == 1
        assert words in err and str(source) in err
    assert not (tmp_path / "out").exists()


def test_damaged_archive_member_is_named(convert, raw, tmp_path):
    archive = pack(raw, tmp_path / "raw.zip")
    content = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as file:
        info = file.getinfo("gtFine/val/ulm/ulm_000001_000019_gtFine_polygons.json")
    content[info.header_offset + 100 : info.header_offset + 140] = bytes(40)
    archive.write_bytes(content)
    code, _, err = convert(archive, "-o", tmp_path / "out")
    assert code == 1 and f"{archive}:{info.filename} is damaged" in err


@pytest.mark.parametrize(
    "name", ["../evil.json", "/evil.json", "a/../../evil", "..\\evil", "C:\\evil"]
)
def test_archive_paths_that_lead_out_are_refused(convert, raw, tmp_path, name):
    archive = pack(raw, tmp_path / "raw.zip")
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr(name, "{}")
    code, _, err = convert(archive, "-o", tmp_path / "out")
    assert code == 1 and str(archive) in err and "leads out" in err
    assert not (tmp_path / "out").exists()


def test_archive_links_are_refused(convert, raw, tmp_path):
    archive = pack(raw, tmp_path / "raw.zip")
    link = zipfile.ZipInfo("gtFine/train/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr(link, "/etc")
    code, _, err = convert(archive, "-o", tmp_path / "out")
    assert code == 1 and "holds the link gtFine/train/link" in err
    assert not (tmp_path / "out").exists()


def test_killed_run_is_completed_by_the_next(tmp_path):
    root = tmp_path / "raw"
    folder = root / "gtFine" / "train" / "aachen"
    folder.mkdir(parents=True)
    text = json.dumps(annotation(0, 384, 768))
    for index in range(90):
        (folder / f"aachen_{index:06d}_000019_gtFine_polygons.json").write_text(text)
    command = [sys.executable, TOOLS / "cityscapes.py", root, "--nproc", "2"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    while len(list(folder.glob("*.png"))) < 10:
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.time() + 10
    while time.time() < deadline:  # its workers end by themselves
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.01)
    else:
        raise AssertionError("a worker outlived the killed run")
    finished = sorted(folder.glob("*.png"))
    assert 10 <= len(finished) < 90
    for path in finished:
        Image.open(path).load()
    (folder / f".x.png.{process.pid}.part").write_bytes(b"left behind")
    before = {path: path.stat().st_mtime_ns for path in finished}
    subprocess.run(command, check=True, capture_output=True)
    assert {path: path.stat().st_mtime_ns for path in finished} == before
    assert len((root / "train.txt").read_text().splitlines()) == 90
    json2labelImg(str(next(folder.glob("*.json"))), str(tmp_path / "theirs.png"), "trainIds")
    theirs = np.asarray(Image.open(tmp_path / "theirs.png"))
    results = sorted(folder.glob("*.png"))
    assert len(results) == 90
    assert all(np.array_equal(np.asarray(Image.open(path)), theirs) for path in results)
    assert not list(folder.glob(".*"))
