"""Draws small scenes and holds images, polygons and layout against each other."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from cityscapesscripts.helpers.annotation import Annotation
from cityscapesscripts.helpers.labels import name2label
from cityscapesscripts.preparation.json2labelImg import createLabelImage
from PIL import Image

TOOLS = Path(__file__).parents[2] / "tools" / "misc"


def draw(out, *args):
    command = [sys.executable, TOOLS / "draw_street_scenes.py", out, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True)


def files(root):
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def raster(path):
    annotation = Annotation()
    annotation.fromJsonFile(str(path))
    return np.asarray(createLabelImage(annotation, "trainIds"))


def test_layout_polygons_and_seed(tmp_path):
    first = draw(tmp_path / "a", "--train", 2, "--val", 1, "--size", "64x128")
    assert first.returncode == 0, first.stderr
    drawn = files(tmp_path / "a")
    assert sorted(drawn)[:3] == [
        "gtFine/train/beispielhausen/beispielhausen_000001_000019_gtFine_polygons.json",
        "gtFine/train/musterstadt/musterstadt_000000_000019_gtFine_polygons.json",
        "gtFine/val/probeheim/probeheim_000000_000019_gtFine_polygons.json",
    ]
    assert len(drawn) == 6 and len(set(drawn.values())) == 6
    seen = set()
    for path in (tmp_path / "a" / "gtFine").rglob("*.json"):
        annotation = json.loads(path.read_text())
        assert (annotation["imgHeight"], annotation["imgWidth"]) == (64, 128)
        for item in annotation["objects"]:
            assert item["label"] in name2label and len(item["polygon"]) >= 3
            points = np.array(item["polygon"])
            assert points.dtype == int and (points >= 0).all() and (points < (128, 64)).all()
        labels = raster(path)
        seen |= set(np.unique(labels).tolist())
        assert (labels == 255).mean() < 0.15  # bonnet and border, nothing left undrawn
        image = str(path).replace("gtFine", "leftImg8bit").replace("_polygons.json", ".png")
        assert Image.open(image).size == (128, 64)
    assert len(seen - {255}) >= 12
    # More scenes, in one process: the first ones stay what they were. Another seed: all differ.
    draw(tmp_path / "b", "--train", 3, "--val", 1, "--size", "64x128", "--nproc", 1)
    assert drawn.items() <= files(tmp_path / "b").items()
    draw(tmp_path / "c", "--train", 2, "--val", 1, "--size", "64x128", "--seed", 1)
    assert not set(drawn.values()) & set(files(tmp_path / "c").values())


def test_paint_fills_its_polygon(monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)
    from street_canvas import Canvas

    rng = np.random.default_rng(0)
    canvas = Canvas(rng, 64, 96)
    canvas.light, canvas.sight = np.ones(3), 1e9
    shapes = [np.array([(10.3, 8), (70, 20.6), (40, 55)]), np.array([(60, 30), (95, 30), (95, 60)])]
    canvas.begin("car", *shapes)
    for shape in (*shapes, np.array([(0, 0), (20, 0), (20, 63), (0, 63)])):
        canvas.paint(shape, (250, 250, 250), amount=0)
    annotation = Annotation()
    annotation.fromJsonText(
        json.dumps({"imgHeight": 64, "imgWidth": 96, "objects": canvas.objects})
    )
    car = np.asarray(createLabelImage(annotation, "ids")) == 26
    image = cv2.resize(canvas.image, (96, 64), interpolation=cv2.INTER_AREA)[..., 0]
    kernel = np.ones((3, 3), np.uint8)
    inside = cv2.erode(car.astype(np.uint8), kernel) > 0
    near = cv2.dilate(car.astype(np.uint8), kernel) > 0
    assert inside.sum() > 1000
    assert (image[inside] == 250).all() and (image[~near] == 0).all()
    assert ((image > 125) == car).mean() > 0.98


@pytest.mark.parametrize("size", ["256", "axb", "8x8"])
def test_wrong_size_is_one_sentence(tmp_path, size):
    result = draw(tmp_path / "out", "--size", size)
    assert result.returncode == 1 and result.stderr.startswith(f"Error: --size {size} ")
    assert not (tmp_path / "out").exists()
