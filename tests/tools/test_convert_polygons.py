"""Annotators' files, made here as each program writes them, become labels with one id a pixel."""

import base64
import importlib
import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from mmseg_gc.cli.converters.polygons import Shape, draw, fill, polygon, runs_to_mask, unpack_runs
from mmseg_gc.errors import UserError

HEIGHT, WIDTH = 6, 8
SQUARE = [[1, 1], [5, 1], [5, 5], [1, 5]]  # rows and columns 1 to 4
CORNER = [[3, 3], [8, 3], [8, 6], [3, 6]]  # rows 3 to 5, columns 3 to 7


def drawn(*boxes) -> np.ndarray:
    """A label by hand: (top, bottom, left, right, id), one upon the other."""
    label = np.zeros((HEIGHT, WIDTH), np.uint8)
    for top, bottom, left, right, number in boxes:
        label[top:bottom, left:right] = number
    return label


def flat(points) -> list[float]:
    return [float(value) for point in points for value in point]


def image_bytes(kind="PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT)).save(file, kind)
    return file.getvalue()


@pytest.fixture
def convert(capfd):
    """``convert("coco", SOURCE, …)`` gives the exit status, what was printed, and the errors."""

    def call(name, *arguments):
        module = importlib.import_module(f"mmseg_gc.cli.converters.{name}")
        with pytest.raises(SystemExit) as end:
            module.main(["--nproc", "1", *map(str, arguments)])
        return end.value.code, *capfd.readouterr()

    return call


def label_of(root, name="a") -> np.ndarray:
    return np.asarray(Image.open(root / "labels" / f"{name}.png"))


def enclosed(ring, x, y) -> bool:
    """Whether a polygon encloses a point: the crossings of a ray to the right are odd."""
    inside = False
    for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        if (y0 > y) != (y1 > y) and x < x0 + (y - y0) / (y1 - y0) * (x1 - x0):
            inside = not inside
    return inside


@pytest.mark.parametrize("seed", range(6))
def test_pixels_whose_centre_is_inside(seed):
    rng = np.random.default_rng(seed)
    ring = rng.uniform(-4, 16, (rng.integers(3, 9), 2)).round(seed % 3)  # also on centres and edges
    expected = [[enclosed(ring, x + 0.5, y + 0.5) for x in range(14)] for y in range(11)]
    assert fill([ring], (11, 14)).tolist() == expected


def test_neighbours_share_no_pixel_and_leave_none_out():
    left, right = polygon([0, 0, 4.5, 0, 2.5, 6, 0, 6]), polygon([4.5, 0, 8, 0, 8, 6, 2.5, 6])
    assert (fill([left], (6, 8)) ^ fill([right], (6, 8))).all()


def test_a_ring_inside_of_a_ring_is_a_hole_when_asked_for():
    shape = Shape("a", (polygon([0, 0, 6, 0, 6, 6, 0, 6]), polygon([2, 2, 4, 2, 4, 4, 2, 4])))
    how = dict(unlabelled=0, by_area=True)
    whole = draw([shape], {"a": 1}, (6, 8), holes=False, **how)
    holed = draw([shape], {"a": 1}, (6, 8), holes=True, **how)
    assert (whole == drawn((0, 6, 0, 6, 1))).all()
    assert (holed == drawn((0, 6, 0, 6, 1), (2, 4, 2, 4, 0))).all()


def test_a_seam_to_a_hole_encloses_nothing():
    """As programs write a hole in one ring: out along a seam, around it, and back."""
    ring = polygon([0, 0, 6, 0, 6, 6, 0, 6, 0, 0, 2, 2, 2, 4, 4, 4, 4, 2, 2, 2])
    assert (fill([ring], (6, 8)) == drawn((0, 6, 0, 6, 1), (2, 4, 2, 4, 0))).all()


def test_run_lengths():
    assert unpack_runs("534O") == [5, 3, 4, 2]  # the last as 2 - 3, -1
    assert unpack_runs("T3") == [100]
    assert runs_to_mask([1, 2, 3], (2, 3)).tolist() == [[False, True, False], [True, False, False]]
    for wrong in ([1, 2], [7, -1], ["x"], [2**63, 2**63 + 6], [2**62] * 4 + [6]):
        with pytest.raises(UserError, match="aren't those of 3x2 pixels"):
            runs_to_mask(wrong, (2, 3))


@pytest.mark.parametrize("by_area", [True, False])
def test_what_lies_on_top(by_area):
    small, large = Shape("s", (polygon(SQUARE),)), Shape("l", (polygon([0, 0, 8, 0, 8, 6, 0, 6]),))
    crowd = Shape("c", (polygon([0, 0, 2, 0, 2, 2, 0, 2]),), is_crowd=True)
    label = draw(
        [small, large, crowd], {"s": 1, "l": 2, "c": 3}, (6, 8),
        unlabelled=0, by_area=by_area, holes=False,
    )  # fmt: skip
    top = [(0, 6, 0, 8, 2), (1, 5, 1, 5, 1)]
    assert (label == drawn(*(top if by_area else reversed(top)))).all()


def write_coco(folder, segmentations, name="instances_train.json", image="a.png", **more):
    folder.mkdir(exist_ok=True)
    coco = dict(
        images=[dict(id=7, file_name=image, height=HEIGHT, width=WIDTH)],
        annotations=[
            dict(id=n, image_id=7, category_id=category, segmentation=one, iscrowd=crowd)
            for n, (category, one, crowd) in enumerate(segmentations)
        ],
        categories=[dict(id=30, name="dog"), dict(id=4, name="cat")],
        **more,
    )
    (folder / name).write_text(json.dumps(coco))
    (folder / image).write_bytes(image_bytes())


CROWD = dict(size=[HEIGHT, WIDTH], counts=[0, 2 * HEIGHT, HEIGHT * (WIDTH - 2)])  # two columns


def test_coco(convert, tmp_path):
    write_coco(tmp_path / "d", [(30, [flat(CORNER)], 0), (4, [flat(SQUARE)], 0), (30, CROWD, 1)])
    assert convert("coco", tmp_path / "d", "-o", tmp_path / "o")[0] == 0
    # The crowd lies under all; the square has 16 pixels and the corner 15.
    expected = drawn((0, 6, 0, 2, 2), (1, 5, 1, 5, 1), (3, 6, 3, 8, 2))
    assert (label_of(tmp_path / "o") == expected).all()
    assert (tmp_path / "o/classes.txt").read_text() == "background\ncat\ndog\n"
    assert (tmp_path / "o/images/a.png").read_bytes() == image_bytes()
    before = (tmp_path / "o/labels/a.png").stat().st_mtime_ns
    status, out, _ = convert("coco", tmp_path / "d", "-o", tmp_path / "o")
    assert status == 0 and "labels drawn  |    0 |       1 |      0" in out
    assert (tmp_path / "o/labels/a.png").stat().st_mtime_ns == before


def test_what_is_unlabelled_and_which_classes_are_kept(convert, tmp_path):
    write_coco(tmp_path / "d", [(30, [flat(CORNER)], 0), (4, [flat(SQUARE)], 0)])
    flags = ("--unlabelled", "ignore", "--classes", "dog", "-o", tmp_path / "o")
    assert convert("coco", tmp_path / "d", *flags)[0] == 0
    expected = np.full((HEIGHT, WIDTH), 255)
    expected[3:6, 3:8] = 0
    assert (label_of(tmp_path / "o") == expected).all()
    status, _, err = convert("coco", tmp_path / "d", "--classes", "cow", "-o", tmp_path / "p")
    assert status == 1 and "names ['cow'], and there are cat, dog" in err
    assert not (tmp_path / "p").exists()


def test_splits_of_coco_go_apart_and_archives_are_read(convert, tmp_path):
    for split in ("train", "valid"):  # as Roboflow has it
        write_coco(tmp_path / split, [(4, [flat(SQUARE)], 0)], "_annotations.coco.json")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for file in [*tmp_path.glob("train/*"), *tmp_path.glob("valid/*")]:
            archive.write(file, file.relative_to(tmp_path))
    assert convert("coco", tmp_path / "x.zip", "-o", tmp_path / "o")[0] == 0
    for split in ("train", "val"):
        assert (label_of(tmp_path / "o", f"{split}/a") == drawn((1, 5, 1, 5, 1))).all()
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("../evil.json", "{}")
    status, _, err = convert("coco", tmp_path / "bad.zip", "-o", tmp_path / "p")
    assert status == 1 and "leads out of the target" in err and not (tmp_path / "p").exists()


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        ([], "an annotation without segmentation: it is of boxes alone"),
        ([[1, 2, 3, 4]], "a polygon of 2 points"),
        ([[1, 2, 3, "x", 5, 6]], "a polygon of 0 points"),
        (dict(size=[HEIGHT, WIDTH], counts=[5]), "run lengths that aren't those of 8x6"),
        (dict(size=[1, 5], counts=[5]), "run lengths of another size"),
    ],
)
def test_broken_annotations_are_listed_and_the_others_done(convert, tmp_path, segmentation, words):
    write_coco(tmp_path / "d", [(4, [flat(SQUARE)], 0)])
    write_coco(tmp_path / "d", [(4, segmentation, 0)], "instances_val.json", "b.png")
    status, out, err = convert("coco", tmp_path / "d", "-o", tmp_path / "o")
    assert status == 1 and words in err and "instances_val.json: b.png" in err
    assert "outlines read |    1 |       0 |      1" in out
    assert (label_of(tmp_path / "o", "train/a") == drawn((1, 5, 1, 5, 1))).all()


def test_image_of_another_size_or_none(convert, tmp_path):
    write_coco(tmp_path / "d", [(4, [flat(SQUARE)], 0)])
    Image.new("RGB", (3, 2)).save(tmp_path / "d/a.png")
    status, _, err = convert("coco", tmp_path / "d", "-o", tmp_path / "o")
    assert status == 1 and "is 3x2, its outlines say 8x6" in err
    (tmp_path / "d/a.png").unlink()
    (tmp_path / "d/deep.json").write_text("[" * 100_000)
    status, _, err = convert("coco", tmp_path / "d", "-o", tmp_path / "o")
    assert status == 1 and "deep.json is no JSON" in err
    assert "names the image a.png, and the sources hold none" in err
    (tmp_path / "e").mkdir()
    status, _, err = convert("coco", tmp_path / "e", "-o", tmp_path / "o")
    assert status == 1 and "has no annotations of coco" in err


def labelme(*shapes, **more) -> str:
    facts = dict(imagePath="..\\a.png", imageHeight=HEIGHT, imageWidth=WIDTH, imageData=None)
    keys = ("label", "shape_type", "points")
    return json.dumps(
        facts | dict(shapes=[dict(zip(keys, s, strict=False)) for s in shapes]) | more
    )


def test_labelme(convert, tmp_path):
    mask = io.BytesIO()
    Image.fromarray(np.array([[1, 0], [1, 1]], bool)).save(mask, "PNG")
    text = labelme(
        ("dog", "polygon", CORNER),
        ("cat", "rectangle", [[5, 5], [1, 1]]),
        ("cow", "circle", [[7, 1], [7, 2]]),
        ("dog", "line", [[0, 0], [8, 6]]),
    )
    whole = json.loads(text)
    whole["shapes"].append(
        dict(label="cow", shape_type="mask", points=[[0, 4], [1, 5]],
             mask=base64.b64encode(mask.getvalue()).decode())
    )  # fmt: skip
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a.json").write_text(json.dumps(whole))
    (tmp_path / "d/a.png").write_bytes(image_bytes())
    assert convert("labelme", tmp_path / "d", "-o", tmp_path / "o")[0] == 0
    expected = drawn((3, 6, 3, 8, 1), (1, 5, 1, 5, 2), (0, 2, 6, 8, 3))
    expected[4, 0] = expected[5, 0:2] = 3
    assert (label_of(tmp_path / "o") == expected).all()
    assert (tmp_path / "o/classes.txt").read_text() == "background\ndog\ncat\ncow\n"


def test_an_image_inside_of_its_json(convert, tmp_path):
    (tmp_path / "d").mkdir()
    inside = base64.b64encode(image_bytes()).decode()
    text = labelme(("dog", "polygon", CORNER), imageData=inside)
    (tmp_path / "d/a.json").write_text(text)
    (tmp_path / "d/b.json").write_text(labelme(("dog", "star", CORNER)))
    (tmp_path / "d/c.json").write_text(labelme(("dog", "polygon", [[0, 1], [2]])))
    status, _, err = convert("labelme", tmp_path / "d", "-o", tmp_path / "o")
    assert status == 1 and "2 of the files failed" in err
    assert (label_of(tmp_path / "o") == drawn((3, 6, 3, 8, 1))).all()
    assert (tmp_path / "o/images/a.png").read_bytes() == image_bytes()


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version>
<meta><job><labels><label><name>cat</name></label><label><name>dog</name></label></labels></job></meta>
<image id="0" name="a.png" width="8" height="6">{}</image></annotations>"""


def test_cvat(convert, tmp_path):
    corner = ";".join(f"{x:.2f},{y:.2f}" for x, y in CORNER)
    shapes = (
        f'<polygon label="dog" points="{corner}" z_order="1"/>'
        '<box label="cat" xtl="1" ytl="1" xbr="5" ybr="5" z_order="0"/>'
        '<mask label="cat" rle="1, 2, 1" left="6" top="0" width="2" height="2" z_order="0"/>'
        '<polyline label="dog" points="0,0;8,6" z_order="2"/>'
    )
    (tmp_path / "annotations.xml").write_text(CVAT.format(shapes))
    (tmp_path / "i").mkdir()
    (tmp_path / "i/a.png").write_bytes(image_bytes())
    sources = tmp_path / "annotations.xml", tmp_path / "i"
    assert convert("cvat", *sources, "-o", tmp_path / "o")[0] == 0
    expected = drawn((1, 5, 1, 5, 1), (3, 6, 3, 8, 2))
    expected[0, 7] = expected[1, 6] = 1
    assert (label_of(tmp_path / "o") == expected).all()
    for broken, words in (
        (CVAT.format('<box label="cat" rotation="9"/>'), "has a turned box"),
        (CVAT.format('<mask label="cat" rle="9" left="0" top="0" width="2" height="2"/>'), "run"),
        ("<annotations>", "is no XML"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><annotations/>", "declares entities"),
    ):
        sources[0].write_text(broken)
        status, _, err = convert("cvat", *sources, "-o", tmp_path / "p")
        assert status == 1 and words in err


def test_yolo(convert, tmp_path):
    root = tmp_path / "d"
    for folder in ("images/train", "images/val", "labels/train", "labels/val"):
        (root / folder).mkdir(parents=True)
    (root / "data.yaml").write_text("names:\n  0: cat\n  1: dog\n")
    shares = [f"{x / WIDTH} {y / HEIGHT}" for x, y in CORNER]
    (root / "labels/train/a.txt").write_text(f"1 {' '.join(shares)}\n")
    for name in ("train/a", "val/b"):  # b has no label file
        (root / f"images/{name}.png").write_bytes(image_bytes())
    assert convert("yolo", root, "-o", tmp_path / "o")[0] == 0
    assert (label_of(tmp_path / "o", "train/a") == drawn((3, 6, 3, 8, 2))).all()
    assert not label_of(tmp_path / "o", "val/b").any()
    for text, words in (
        ("0 0.1 0.1 0.2 0.2", "a box and no polygon in line 1"),
        ("2 0 0 1 0 1 1", "the class 2 in line 1 of 2 names"),
    ):
        (root / "labels/val/b.txt").write_text(text)
        status, _, err = convert("yolo", root, "-o", tmp_path / "o")
        assert status == 1 and words in err and f"{root}/labels/val/b.txt" in err
    (root / "data.yaml").unlink()
    status, _, err = convert("yolo", root, "-o", tmp_path / "o")
    assert status == 1 and "data.yaml with the names of the classes is missing" in err
