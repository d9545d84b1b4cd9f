"""The page and the files beside it: hostile names, bad targets, nothing half-written."""

import csv
import json
import re
import shutil
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmseg_gc.errors import UserError
from mmseg_gc.report.figures import RunFigures, measure
from mmseg_gc.report.files import check_target, read_results, write_report
from mmseg_gc.report.gallery import SHOWN, Gallery, draw_layers

HOSTILE = [
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "$\\alpha$ & {{7*7}}",
]
ABOUT = {"Config": "configs/<b>own</b>.py", "Data": "Own & sons", "Weights": "w.pth"}


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Three classes of hostile names, and 15 images of such names: 24 x 32."""
    draw = np.random.default_rng(0)
    images, gallery = [], Gallery()
    folder = tmp_path_factory.mktemp("pictures")
    rules = dict(num_classes=3, ignore_index=255)
    for number in range(15):
        path = folder / f"<img src=x>&'{number:02d}.png"
        Image.fromarray(draw.integers(0, 256, (24, 32, 3), np.uint8)).save(path)
        label = np.kron(draw.integers(0, 3, (3, 4)), np.ones((8, 8))).astype(np.uint8)
        pred = np.where(draw.random(label.shape) < number / 20, 0, label).astype(np.uint8)
        label[:2] = 255
        table = np.zeros((3, 15))
        table[:, -1] = 100, 80, 95
        images.append(measure(str(path), pred, label, **rules, calibration=table))
        score = 1 - number / 20
        draw_it = partial(draw_layers, str(path), pred, label, palette=None, **rules)
        gallery.offer(score, str(path), draw_it)
    return RunFigures(images, HOSTILE, 255), gallery


@pytest.fixture(scope="module")
def written(results, tmp_path_factory) -> Path:
    tmp_path = tmp_path_factory.mktemp("report")
    log = tmp_path / "work/20260101/vis_data/scalars.json"
    log.parent.mkdir(parents=True)
    log.write_text("".join(json.dumps(dict(loss=3.0 / s, step=s)) + "\n" for s in (1, 2, 3)))
    page = tmp_path / "out/report.html"
    write_report(page, *results, about=ABOUT, palette=None, work_dir=tmp_path / "work")
    return page


def test_names_are_text_and_never_markup(written):
    page = Tags(text := written.read_text())
    assert [tag for tag, _ in page.tags].count("script") == 2  # the page's own
    assert all(attributes.get("src") != "x" for _, attributes in page.tags)
    assert not any(key.startswith("on") for _, attributes in page.tags for key in attributes)
    shown = "".join(page.text)
    assert all(name in shown for name in HOSTILE) and "49" not in re.findall(r"\{\{.*?\}\}", text)
    assert "configs/<b>own</b>.py" in shown


def test_nothing_is_fetched(written):
    text = written.read_text()
    addresses = [
        value
        for _, attributes in Tags(text).tags
        for key, value in attributes.items()
        if key in ("src", "href", "xlink:href", "action", "srcset")
    ]
    assert addresses and all(value.startswith(("data:", "#")) for value in addresses)
    assert not re.search(r"url\((?!data:|#)|@import|//(?!www\.w3\.org)[a-z]+\.[a-z]", text)
    assert "default-src 'none'" in text


def test_sections_and_images(written, results):
    text = written.read_text()
    ids = {attributes.get("id") for _, attributes in Tags(text).tags}
    assert {"tested", "classes", "confusion", "images", "edges", "calibration", "curves"} <= ids
    assert text.count("<figure ") == 2 * SHOWN
    worst, best = results[1].sorted()
    assert [path[-6:-4] for path, _ in best] == [f"{n:02d}" for n in range(6)]
    assert [path[-6:-4] for path, _ in worst] == [f"{n:02d}" for n in range(14, 8, -1)]
    assert "15.00" in text  # ECE: 95 % sure, 80 % right


def test_files_beside_the_page(written, results):
    run, _ = results
    folder = written.parent
    assert {path.name for path in folder.iterdir()} == {
        "report.html", "per_image.csv", "per_image.npz", "confusion.npy", "metrics.json",
    }  # fmt: skip
    assert np.load(folder / "confusion.npy").tolist() == run.confusion.tolist()
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["means"]["mIoU"] == pytest.approx(100 * run.means["mIoU"])
    assert metrics["calibration"]["ECE"] == pytest.approx(15)
    rows = list(csv.DictReader((folder / "per_image.csv").open()))
    assert [row["image"] for row in rows] == [image.path for image in run.images]
    assert float(rows[3]["mIoU"]) == pytest.approx(100 * run.image_means[3], abs=0.006)
    assert rows[0][f"IoU.{HOSTILE[0]}"] == "100.00"
    back = read_results(written)
    assert back.hit.tolist() == run.hit.tolist() and back.classes == HOSTILE


def test_all_files_or_none(written, results, tmp_path):
    written = Path(shutil.copytree(written.parent, tmp_path / "out"), "report.html")
    before = {path.name: path.read_bytes() for path in written.parent.iterdir()}
    (written.parent / "metrics.json").unlink()
    (written.parent / "metrics.json").mkdir()
    with pytest.raises(UserError, match=r"metrics\.json is a folder"):
        write_report(written, results[0], Gallery(), about=ABOUT, palette=None, work_dir=tmp_path)
    (written.parent / "metrics.json").rmdir()
    before.pop("metrics.json")
    assert {path.name: path.read_bytes() for path in written.parent.iterdir()} == before


def test_targets(tmp_path):
    (tmp_path / "a.html").mkdir()
    (tmp_path / "file").touch()
    for name in ("a.html", "b.pdf"):
        with pytest.raises(UserError, match=rf"--report .*{name} is no page; name a file"):
            check_target(tmp_path / name, "--report")
    with pytest.raises(UserError, match="can't be written"):
        check_target(tmp_path / "file/r.html", "--report")
    check_target(tmp_path / "new/r.html", "--report")


def test_a_matrix_of_many_classes_is_cut(results, tmp_path):
    label = np.arange(100, dtype=np.uint8).repeat(100).reshape(100, 100)
    pred = np.where(label % 2, label, 99).astype(np.uint8)
    image = measure("a.png", pred, label, num_classes=100, ignore_index=255)
    run = RunFigures([image], [f"class {n}" for n in range(100)], 255)
    page = tmp_path / "report.html"
    write_report(page, run, Gallery(), about=ABOUT, palette=None, work_dir=tmp_path)
    assert page.read_text().count("data-cell=") == 40 * 40
    assert "60 classes with fewer wrong pixels" in page.read_text()


def test_damaged_and_missing_reports(written, tmp_path):
    written = Path(shutil.copytree(written.parent, tmp_path / "out"), "report.html")
    with pytest.raises(UserError, match="has no metrics.json: name the folder"):
        read_results(written.parent.parent)
    (written.parent / "per_image.npz").write_bytes(b"no zip")
    with pytest.raises(UserError, match="can't be read"):
        read_results(written.parent)
