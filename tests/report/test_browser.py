"""A person opens the report in Chromium: by pointer, by keyboard, on a phone, in the dark."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmseg_gc.report.figures import RunFigures, measure
from mmseg_gc.report.files import write_report
from mmseg_gc.report.gallery import Gallery, draw_layers

pytestmark = pytest.mark.browser
# Where screenshots stay; default: the test's own folder.
ARTEFACTS = os.environ.get("MMSEG_GC_SCREENSHOTS")


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """Of 20 images; the third image has all of class b that was taken for class c."""
    folder, draw = tmp_path_factory.mktemp("report"), np.random.default_rng(0)
    images, gallery = [], Gallery()
    rules = dict(num_classes=3, ignore_index=255)
    for number in range(20):
        path = folder / f"street_{number:02d}.png"
        Image.fromarray(draw.integers(0, 256, (48, 64, 3), np.uint8)).save(path)
        label = np.kron(draw.integers(0, 2, (6, 8)), np.ones((8, 8))).astype(np.uint8)
        pred = label.copy()
        if number == 2:
            pred[label == 1] = 2
        pred[:number] = 0
        table = np.ones((3, 15))
        images.append(measure(str(path), pred, label, **rules, calibration=table))
        layers = draw_layers(str(path), pred, label, palette=None, **rules)
        gallery.offer(number / 20, str(path), lambda layers=layers: layers)
    run = RunFigures(images, ["a", "b", "c <b>"], 255)
    about = {"Config": "own.py", "Data": "streets"}
    write_report(folder / "report.html", run, gallery, about=about, palette=None, work_dir=folder)
    return folder / "report.html"


@pytest.fixture
def opened(browser, report):
    """``opened(width, scheme)`` is the page, whose console and requests are watched."""
    contexts, said, fetched = [], [], []

    def open_page(width: int = 1200, scheme: str = "light"):
        size = {"width": width, "height": 900}
        contexts.append(browser.new_context(viewport=size, color_scheme=scheme, offline=True))
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: fetched.append(request.url))
        page.goto(report.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []
    assert all(url.startswith(("file:", "data:")) for url in fetched)


def test_a_cell_names_its_images(opened):
    page = opened()
    page.click('[data-row="b"][data-column="c <b>"]')
    panel = page.inner_text("#cell")
    assert panel.startswith("b, predicted as c <b>: ") and "street_02.png" in panel
    assert "street_03.png" not in panel
    page.click("#cell a")  # the third image is shown, as one of the worst
    assert page.evaluate("location.hash") == "#image-2"


def test_by_keyboard(opened):
    page = opened()
    page.focus("[data-cell='0']")
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    assert page.evaluate("document.activeElement.dataset.column") == "c <b>"
    assert "street_02.png" in page.inner_text("#cell")
    page.keyboard.press("ArrowRight")  # there is no further cell
    assert page.evaluate("document.activeElement.dataset.cell") == "5"
    assert page.locator("[data-cell][tabindex='0']").count() == 1


def test_rows_or_columns(opened):
    page = opened()
    cell = page.locator('[data-row="b"][data-column="c <b>"]')
    of_row = cell.inner_text()
    page.check("input[value=column]")
    assert cell.inner_text() == "100" != of_row


def test_a_slider_mixes_classes_and_image(opened):
    page = opened()
    slider, layer = page.locator(".mix input").first, page.locator(".layer img").first

    def opacity() -> float:
        return float(layer.evaluate("node => getComputedStyle(node).opacity"))

    assert opacity() == 0.75
    slider.focus()
    page.keyboard.press("Home")
    assert opacity() == 0
    slider.fill("40")
    assert opacity() == pytest.approx(0.4)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_every_screen(opened, tmp_path, width, scheme):
    page = opened(width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(21, 24, 28)")
    shot = Path(ARTEFACTS or tmp_path, f"report_{scheme}_{width}.png")
    shot.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=shot, full_page=True)
    assert shot.stat().st_size > 10_000


def test_it_can_be_printed(opened, tmp_path):
    pdf = opened().pdf(path=tmp_path / "report.pdf", print_background=True)
    assert pdf.startswith(b"%PDF")
