"""Areas and outlines of label maps, against counts of pixels and PIL's drawing."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mmseg_gc.apis import shapes

CLASSES = ("background", "cell", "wall")


def shoelace(ring) -> float:
    x, y = np.array(ring, float).T
    return abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2


@pytest.mark.parametrize("seed", range(5))
def test_polygons_enclose_as_many_pixels_as_the_mask_has(seed):
    mask = np.random.default_rng(seed).random((23, 31)) < 0.6
    found = shapes.polygons_of(mask)
    area = sum(shoelace(ring) - sum(map(shoelace, holes)) for ring, holes in found)
    assert area == mask.sum()


def test_a_square_with_a_hole():
    mask = np.zeros((6, 8), bool)
    mask[1:5, 2:7] = True
    mask[2:4, 3:6] = False
    [(ring, [hole])] = shapes.polygons_of(mask)
    assert sorted(ring) == [[2, 1], [2, 5], [7, 1], [7, 5]]
    assert sorted(hole) == [[3, 2], [3, 4], [6, 2], [6, 4]]
    assert shapes.polygons_of(np.zeros((3, 3), bool)) == []


def test_run_lengths_give_the_mask_back():
    mask = np.random.default_rng(0).random((7, 5)) < 0.5
    runs = shapes.run_lengths(mask)
    values = np.concatenate([np.full(n, i % 2) for i, n in enumerate(runs)])
    assert np.array_equal(values.reshape(5, 7).T.astype(bool), mask)


def test_areas_in_pixels_and_metres():
    labels = np.zeros((4, 5), np.uint8)
    labels[:2, :2] = 1
    labels[3, 4] = 1
    rows = shapes.area_rows(labels, CLASSES, scale=0.5)
    assert [(r["class"], r["pixels"], r["m2"]) for r in rows] == [
        ("background", 15, 3.75),
        ("cell", 5, 1.25),
    ]
    assert rows[1]["share"] == 0.25
    pieces = shapes.component_rows(labels, CLASSES, left_out=frozenset({0}))
    assert [(p["pixels"], p["x"], p["y"], p["width"], p["height"]) for p in pieces] == [
        (4, 0, 0, 2, 2),
        (1, 4, 3, 1, 1),
    ]
    assert pieces[0]["centre_x"] == pieces[0]["centre_y"] == 0.5 and "m2" not in pieces[0]


def test_labelme_draws_what_lies_inside_later():
    labels = np.ones((12, 12), np.uint8)
    labels[3:9, 3:9] = 2
    polygons = [
        {"id": n, "class": CLASSES[n], "pixels": 0, "outline": ring, "holes": holes}
        for n in (2, 1)
        for ring, holes in shapes.polygons_of(labels == n)
    ]
    file = shapes.labelme(polygons, "a.png", (12, 12))
    assert [shape["label"] for shape in file["shapes"]] == ["cell", "wall"]
    assert (file["imagePath"], file["imageWidth"], file["imageData"]) == ("a.png", 12, None)
    canvas = Image.new("L", (120, 120))
    for shape in file["shapes"]:
        points = [(10 * x, 10 * y) for x, y in shape["points"]]
        ImageDraw.Draw(canvas).polygon(points, fill=CLASSES.index(shape["label"]))
    assert np.array_equal(np.asarray(canvas)[5::10, 5::10], labels)


def test_coco_has_a_mask_for_each_class_but_the_background():
    labels = np.zeros((4, 6), np.uint8)
    labels[1:3, 2:5] = 2
    file = shapes.coco(labels, CLASSES, "a.png", frozenset({0}))
    [one] = file["annotations"]
    assert (one["category_id"], one["area"], one["bbox"]) == (2, 6, [2, 1, 3, 2])
    assert one["segmentation"] == dict(size=[4, 6], counts=[9, 2, 2, 2, 2, 2, 5])
    assert file["images"][0] == dict(id=1, file_name="a.png", width=6, height=4)
