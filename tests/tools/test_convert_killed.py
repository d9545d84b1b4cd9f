"""Converters that were killed in the middle: the next run completes their work and redoes none.

Cityscapes' is in its own tests.
"""

import io
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TOOLS = Path(__file__).parents[2] / "tools" / "convert_datasets"
ENV = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(TOOLS.parents[1]), *sys.path]))}


def encoded(pixels: np.ndarray, kind: str) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind)
    return content.getvalue()


def wait_for_workers(group: int) -> None:
    """They end by themselves after their parent."""
    deadline = time.time() + 20
    while time.time() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    raise AssertionError("a worker outlived the killed run")


def kill_and_run_again(command: list, results: Path, least: int, total: int) -> list[Path]:
    """Kill the command once ``least`` of ``total`` results are there; returns those of the next."""
    command = [sys.executable, *map(str, command), "--nproc", "2"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=ENV, start_new_session=True)
    while len(list(results.glob("[!.]*"))) < least:
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_for_workers(process.pid)
    finished = {path: path.stat().st_mtime_ns for path in results.glob("[!.]*")}
    assert least <= len(finished) < total
    for path in finished:
        Image.open(path).load()
    subprocess.run(command, check=True, capture_output=True, env=ENV)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert not list(results.glob(".*"))
    paths = sorted(results.iterdir())
    assert len(paths) == total
    return paths


def test_ade20k(tmp_path):
    rng = np.random.default_rng(0)
    image = encoded(rng.integers(0, 256, (120, 200, 3), np.uint8), "JPEG")
    label = encoded(rng.integers(0, 151, (120, 200), np.uint8), "PNG")
    with zipfile.ZipFile(tmp_path / "ADEChallengeData2016.zip", "w") as archive:
        for split, short, count in (("training", "train", 250), ("validation", "val", 1)):
            for number in range(count):
                name = f"{split}/ADE_{short}_{number:08d}"
                archive.writestr(f"A/images/{name}.jpg", image)
                archive.writestr(f"A/annotations/{name}.png", label)
    command = [TOOLS / "ade20k.py", tmp_path / "ADEChallengeData2016.zip", "--allow-partial"]
    results = tmp_path / "out" / "images" / "training"
    paths = kill_and_run_again([*command, "-o", tmp_path / "out"], results, 10, 250)
    assert all(path.read_bytes() == image for path in paths)


def test_camvid(tmp_path):
    # The owner's colours of sky (0), road (3) and car (8).
    colours = np.array([(128, 128, 128), (128, 64, 128), (64, 0, 128)], np.uint8)
    ids = np.random.default_rng(0).integers(0, 3, (180, 240))
    label, image = encoded(colours[ids], "PNG"), encoded(colours[ids], "PNG")
    source = tmp_path / "source"
    source.mkdir()
    for number in range(120):
        (source / f"0006R0_f{number:05d}.png").write_bytes(image)
        (source / f"0006R0_f{number:05d}_L.png").write_bytes(label)
    command = [TOOLS / "camvid.py", source, "-o", tmp_path / "out"]
    paths = kill_and_run_again(command, tmp_path / "out" / "trainannot", 5, 120)
    expected = np.array([0, 3, 8])[ids]
    assert all(np.array_equal(np.asarray(Image.open(path)), expected) for path in paths)


def test_voc_aug(tmp_path):
    savemat = pytest.importorskip("scipy.io").savemat
    names = [f"2008_{number:06d}" for number in range(120)]
    image = encoded(np.zeros((180, 240, 3), np.uint8), "JPEG")
    root, sbd = tmp_path / "VOC2012", tmp_path / "dataset"
    lists = root / "ImageSets" / "Segmentation"
    for folder in (root / "JPEGImages", lists, sbd / "cls"):
        folder.mkdir(parents=True)
    labels = np.random.default_rng(0).integers(0, 21, (180, 240), np.uint8)
    savemat(tmp_path / "one.mat", {"GTcls": {"Segmentation": labels}}, do_compression=True)
    for name in names:
        os.link(tmp_path / "one.mat", sbd / "cls" / f"{name}.mat")
        (root / "JPEGImages" / f"{name}.jpg").write_bytes(image)
    for path in (lists / "train.txt", lists / "val.txt"):
        path.write_text("")
    (sbd / "train.txt").write_text("\n".join(names))
    (sbd / "val.txt").write_text("")
    command = [TOOLS / "voc_aug.py", root, sbd, "--allow-partial"]
    paths = kill_and_run_again(command, root / "SegmentationClassAug", 5, 120)
    assert all(np.array_equal(np.asarray(Image.open(path)), labels) for path in paths)
