"""The comparison of two tests, beside a bootstrap that is written with loops."""

import re

import numpy as np
import pytest

from mmseg_gc.errors import UserError
from mmseg_gc.report import write_comparison
from mmseg_gc.report.comparison import differences
from mmseg_gc.report.figures import RunFigures, measure
from mmseg_gc.report.files import Results, read_results, write_report
from mmseg_gc.report.gallery import Gallery

CLASSES = ["sky", "road", "nowhere"]


def run_of(noise: float, seed: int, names: list[str], classes=CLASSES) -> RunFigures:
    """Of images whose labels are the same in every run."""
    images = []
    for number, name in enumerate(names):
        label = np.random.default_rng(number).integers(0, 2, (20, 20)).astype(np.uint8)
        draw = np.random.default_rng((seed, number))
        pred = np.where(draw.random(label.shape) < noise, 1 - label, label).astype(np.uint8)
        images.append(measure(name, pred, label, num_classes=len(classes), ignore_index=255))
    return RunFigures(images, classes, 255)


NAMES = [f"{n}.png" for n in range(12)]


@pytest.fixture
def reports(tmp_path):
    def write(name: str, run: RunFigures):
        about = {"Config": "own.py", "Data": "x"}
        page = tmp_path / name / "report.html"
        write_report(page, run, Gallery(), about=about, palette=None, work_dir=tmp_path)
        return page.parent

    return write


def test_intervals_by_hand():
    runs = [run_of(noise, seed, NAMES) for noise, seed in ((0.3, 1), (0.25, 2))]
    one, other = (Results("x", NAMES, CLASSES, r.hit, r.true, r.found, {}) for r in runs)
    found = differences(one, other)
    draws = np.random.default_rng(0).multinomial(12, [1 / 12] * 12, size=1000)
    gaps = []
    for weights in draws:
        ious = []
        for run in runs:
            hit, true, pred = (
                sum(w * counts[n] for n, w in enumerate(weights))
                for counts in (run.hit, run.true, run.found)
            )
            ious.append(100 * hit[:2] / (true + pred - hit)[:2])
        gaps.append([(ious[1] - ious[0]).mean(), *(ious[1] - ious[0])])
    low, high = np.percentile(gaps, (2.5, 97.5), axis=0)
    assert [one.name for one in found] == ["mIoU", *CLASSES]
    for place in range(3):
        assert (found[place].low, found[place].high) == pytest.approx((low[place], high[place]))
    assert found[0].one == pytest.approx(100 * runs[0].means["mIoU"])
    assert found[1].middle == pytest.approx(
        100 * (runs[1].by_class["IoU"][0] - runs[0].by_class["IoU"][0])
    )
    assert np.isnan(found[3].middle) and not found[3].certain


def test_the_page(reports, tmp_path):
    one = reports("first", run_of(0.3, 1, NAMES))
    other = reports("second", run_of(0.1, 2, NAMES[::-1]))  # in another order
    page = tmp_path / "both.html"
    found = write_comparison(one, other / "report.html", page)
    assert found[0].certain and found[0].low > 20
    text = page.read_text()
    assert "B is better" in text and "second (B) against first (A)" in text
    assert re.findall(r"<dd>\+(\d+\.\d+)</dd>", text) == [f"{found[0].middle:.2f}"]
    write_comparison(one, other, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text() == text  # seeded, and without a date
    same = differences(*[read_results(one)] * 2)
    assert same[0].middle == same[0].low == same[0].high == 0 and not same[0].certain


@pytest.mark.parametrize(
    ("run", "sentence"),
    [
        (run_of(0.1, 2, NAMES, ["sky", "road", "car"]), r"different classes \(car, nowhere\)"),
        (run_of(0.1, 2, NAMES, ["road", "sky", "nowhere"]), "different classes .in another order"),
        (run_of(0.1, 2, NAMES[1:]), r"different images \(1 are in one alone, such as 0\.png\)"),
    ],
)
def test_runs_that_cannot_be_compared(reports, tmp_path, run, sentence):
    folders = reports("first", run_of(0.3, 1, NAMES)), reports("second", run)
    with pytest.raises(UserError, match=sentence):
        write_comparison(*folders, tmp_path / "both.html")
    assert not (tmp_path / "both.html").exists()
