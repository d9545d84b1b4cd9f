"""Images after augmentation with their labels, as files and as one sheet."""

from pathlib import Path

import cv2
import numpy as np
import pytest

CONFIGS = Path(__file__).parents[2] / "configs/gcnet"
CAMVID = CONFIGS / "gcnet_r18-d8_1xb8-20k_camvid-360x480.py"
TOOL = "analysis_tools/browse_dataset.py"


@pytest.fixture
def browse(run_tool, camvid_options):
    return lambda *arguments: run_tool(TOOL, CAMVID, *arguments, "--cfg-options", *camvid_options)


def read(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: cv2.imread(str(path)) for path in sorted(folder.iterdir())}


def test_one_file_a_image_after_the_crop(browse, tmp_path):
    finished = browse("--out", tmp_path / "a", "--number", 3)
    assert finished.status == 0, finished.err
    assert f"3 of 4 images are in {tmp_path}/a" in finished.out and "3/3" in finished.err
    images = read(tmp_path / "a")
    assert list(images) == [
        "000000_0001TP_006690.png",
        "000002_0001TP_006750.png",
        "000003_0001TP_006780.png",
    ]
    assert all(image.shape[0] <= 48 and image.shape[1] <= 64 for image in images.values())


def test_seed_decides_the_augmentation(browse, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert browse("--out", tmp_path / name, "--number", 2, "--seed", seed).status == 0
    first, same, other = (read(tmp_path / name) for name in "abc")
    assert all(np.array_equal(first[name], same[name]) for name in first)
    assert any(
        first[name].shape != other[name].shape or (first[name] != other[name]).any()
        for name in first
    )


def test_colours_of_the_labels_lie_on_top(browse, camvid_root, tmp_path):
    assert browse("--split", "val", "--out", tmp_path / "a", "--alpha", 1).status == 0
    name, image = next(iter(read(tmp_path / "a").items()))
    label = cv2.imread(str(camvid_root / "valannot" / name[7:]), cv2.IMREAD_UNCHANGED)
    source = cv2.imread(str(camvid_root / "val" / name[7:]))
    assert (image[label == 11] == source[label == 11]).mean() > 0.7  # names cover the rest
    road = image[label == 3]
    assert len(road) and (road == [128, 64, 128]).all(axis=1).mean() > 0.5


def test_contact_sheet(browse, tmp_path):
    finished = browse("--split", "val", "--sheet", tmp_path / "sheet.png", "--number", 9)
    assert finished.status == 0, finished.err
    assert cv2.imread(str(tmp_path / "sheet.png")).shape == (2 * 72 + 18, 96 + 12, 3)


def test_wrong_arguments(browse, tmp_path, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    finished = browse()
    assert finished.status == 1 and "no screen here" in finished.err
    finished = browse("--out", tmp_path / "a", "--number", 0)
    assert finished.status == 1 and "--number is 0" in finished.err
