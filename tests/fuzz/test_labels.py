"""Damaged and odd labels as images, polygons and matrices: class ids, or one sentence."""

import io
import json
import random
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from harness import TARGET, fuzz, fuzz_in_child, run_child
from PIL import Image

from mmseg_gc.datasets.transforms import LoadAnnotations

NUM_CLASSES = 12
SHAPE = (11, 14)
ODD = (None, -1, 0, 2**31, 2**70, 1e400, float("nan"), "", "car", "unicorn", [], {}, [[1]], True)


@cache
def ids() -> np.ndarray:
    return np.random.default_rng(0).integers(0, NUM_CLASSES, SHAPE).astype(np.uint8)


def damaged(rng: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    start, stop = sorted(rng.randrange(len(changed)) for _ in range(2))
    what = rng.randrange(6)
    if what < 3:
        for _ in range(rng.choice((1, 1, 5))):
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    elif what == 3:
        del changed[start:]
    elif what == 4:
        del changed[start:stop]
    else:
        changed[start:stop] = bytes(stop - start)
    return bytes(changed)


def load_image(rng: random.Random, folder: Path) -> str:
    """A label as training reads it."""
    kind = rng.choice(("PNG", "PNG", "BMP", "TIFF"))
    image = Image.fromarray(ids())
    mode = rng.choice(("L", "P", "RGB", "RGBA", "LA", "I;16", "I", "F", "1"))
    if mode == "P":
        image.putpalette(rng.randbytes(768))
    elif mode in ("I;16", "I", "F"):
        image = Image.fromarray(ids().astype({"I;16": "u2", "I": "i4", "F": "f4"}[mode]))
    elif mode != "L":
        image = image.convert(mode)
    content = io.BytesIO()
    try:
        image.save(content, kind)
    except OSError:  # not every format has every mode
        image.convert("L").save(content, "PNG")
    whole = content.getvalue()
    made = whole if rng.random() < 0.2 else damaged(rng, whole)
    path = folder / f"label.{kind.lower()}"
    path.write_bytes(made)
    results = dict(
        seg_map_path=str(path),
        img_path="image.png",
        ori_shape=SHAPE,
        num_classes=NUM_CLASSES,
        ignore_index=255,
        reduce_zero_label=False,
        mask_colors=[((number,) * 3, number) for number in range(NUM_CLASSES)],
    )
    backend = rng.choice(("pillow", "cv2"))
    label = LoadAnnotations(imdecode_backend=backend)(results)["gt_seg_map"]
    assert label.shape == SHAPE and label.dtype == np.uint8, f"{kind} {mode}"
    known = (label < NUM_CLASSES) | (label == 255)
    assert known.all(), f"{kind} {mode}: strange ids"
    # All that a PNG's pixels depend on has checksums; colours are told apart by the palette.
    if (kind == "PNG" or made == whole) and mode in ("L", "I;16", "RGB"):
        assert np.array_equal(label, ids()), f"{kind} {mode}: other ids"
    return "read"


def convert_polygons(rng: random.Random, folder: Path) -> str:
    """Polygons of Cityscapes with one wrong value, or none, or no JSON."""
    from mmseg_gc.cli.converters import cityscapes
    from mmseg_gc.cli.converters.sources import Member, Task

    polygons = dict(
        imgHeight=SHAPE[0],
        imgWidth=SHAPE[1],
        objects=[
            dict(label=label, polygon=[[0, 0], [9, 1], [rng.randrange(99), 9]])
            for label in ("road", "car", "persongroup")
        ],
    )
    what = rng.random()
    if what < 0.7:
        place = rng.randrange(6)
        thing = rng.choice(polygons["objects"])
        if place < 2:
            polygons[rng.choice(("imgHeight", "imgWidth", "objects"))] = rng.choice(ODD)
        elif place < 4:
            thing[rng.choice(("label", "polygon", "deleted"))] = rng.choice(ODD)
        elif place == 4:
            thing["polygon"][rng.randrange(3)] = rng.choice((*ODD, [1, None], [1], [1e300, 0]))
        else:
            part = rng.choice((polygons, thing))
            del part[rng.choice(list(part))]
    content = json.dumps(polygons).encode()
    if what > 0.85:
        content = rng.choice(
            (b"[" * 100_000, b'{"a":' * 50_000, b"", b"\xff", b"[]", damaged(rng, content))
        )
    source, target = folder / "a_polygons.json", folder / TARGET / "a.png"
    source.write_bytes(content)
    cityscapes.convert(Task(Member.at(source), target))
    label = np.asarray(Image.open(target))
    assert set(np.unique(label)) <= {*range(19), 255}
    return "converted"


def convert_matrix(rng: random.Random, folder: Path) -> str:
    """A MATLAB file of SBD with another content, or damaged."""
    from scipy.io import savemat

    from mmseg_gc.cli.converters import voc_aug
    from mmseg_gc.cli.converters.sources import Member, Task

    wrong = (
        "text",
        np.zeros((0, 0)),
        np.full(SHAPE, 1.5),
        np.full(SHAPE, -1),
        np.full(SHAPE, np.nan),
        np.array([[np.zeros(3), "a"]], object),
        np.zeros((2, 3, 4), np.uint8),
        1 + 2j,
        {"Segmentation": 1},
        ids() > 3,
    )
    matrix = ids() if rng.random() < 0.7 else rng.choice(wrong)
    variables = rng.choice(
        [{"GTcls": {"Segmentation": matrix}}] * 6
        + [{"GTcls": matrix}, {"GTinst": matrix}, {"GTcls": {"Other": matrix}}, {}]
    )
    content = io.BytesIO()
    savemat(content, variables, do_compression=rng.random() < 0.7)
    made = content.getvalue() if rng.random() < 0.3 else damaged(rng, content.getvalue())
    source, target = folder / "a.mat", folder / TARGET / "a.png"
    source.write_bytes(made)
    voc_aug.convert(Task(Member.at(source), target))
    label = np.asarray(Image.open(target))
    assert label.ndim == 2 and set(np.unique(label)) <= {*range(21), 255}
    return "converted"


def convert_colours(rng: random.Random, folder: Path) -> str:
    """CamVid's coloured labels, damaged."""
    from mmseg_gc.cli.converters import camvid
    from mmseg_gc.cli.converters.sources import Member, Task

    table = np.array(list(camvid.COLOURS), np.uint8)
    classes = np.array(list(camvid.COLOURS.values()), np.uint8)
    mode, kind = rng.choice(("RGB", "RGB", "RGBA", "L")), rng.choice(("PNG", "PNG", "TIFF"))
    content = io.BytesIO()
    Image.fromarray(table[ids()]).convert(mode).save(content, kind)
    made = content.getvalue() if rng.random() < 0.3 else damaged(rng, content.getvalue())
    source, target = folder / "a_L.png", folder / TARGET / "a.png"
    source.write_bytes(made)
    camvid.convert(Task(Member.at(source), target))
    label = np.asarray(Image.open(target))
    if made.startswith(b"\x89PNG"):
        assert np.array_equal(label, classes[ids()]), "other classes"
    return "converted"


KINDS = (load_image, load_image, convert_polygons, convert_matrix, convert_colours)


def case(number: int, folder: Path) -> str:
    rng = random.Random(number)
    return KINDS[number % len(KINDS)](rng, folder)


@pytest.fixture(autouse=True)
def needs_scipy():
    pytest.importorskip("scipy")


def test_a_sample():
    outcomes = fuzz(case, 0, 50)
    assert outcomes["refused"] > 20 and outcomes["read"] > 1 and outcomes["converted"] > 4


@pytest.mark.slow
def test_five_hundred():
    outcomes = fuzz_in_child(__file__, 50, 600)
    assert outcomes["refused"] > 200 and outcomes["converted"] > 50


if __name__ == "__main__":
    run_child(case)
