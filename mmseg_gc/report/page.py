"""The report's page: one file that opens offline."""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mmseg_gc.colors import class_colors
from mmseg_gc.errors import UserError
from mmseg_gc.report.boundary import DILATION, SMALL
from mmseg_gc.report.charts import calibration_curve, image_histogram, run_curves
from mmseg_gc.report.figures import RunFigures
from mmseg_gc.report.gallery import Gallery
from mmseg_gc.visualization.curves import read_log

TEMPLATES = Path(__file__).with_name("templates")
FIGURES = ("IoU", "Acc", "Fscore", "Precision", "Recall", "Boundary IoU")
CURVES = ("loss", "val_loss", "mIoU", "lr")
SHOWN_CLASSES = 40  # of the confusion matrix: those with the most pixels that are wrong


def render(template: str, **values: Any) -> str:
    """The text of ``template``, in which every value is escaped."""
    return _environment().get_template(template).render(**values)


@cache
def _environment():
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    environment.filters["points"] = points
    return environment


def percent(ratio: float, digits: int = 1) -> str:
    """A ratio in percent, without the sign; a dash for NaN."""
    return "–" if math.isnan(ratio) else f"{100 * ratio:.{digits}f}"


def points(value: float, digits: int = 1) -> str:
    """A difference in percentage points with its sign; a dash for NaN."""
    if math.isnan(value):
        return "–"
    text = f"{value:+.{digits}f}".replace("-", "−")
    return text if float(f"{value:.{digits}f}") else f"{0:.{digits}f}"


def render_report(
    run: RunFigures,
    gallery: Gallery,
    *,
    about: Mapping[str, str],
    palette: Sequence[Sequence[int]] | None,
    work_dir: Path,
) -> str:
    """The page's text; ``work_dir`` may hold the log of the training."""
    shown = _shown_classes(run)
    colors = ["#{:02x}{:02x}{:02x}".format(*c) for c in class_colors(palette, len(run.classes))]
    worst, best = gallery.sorted()
    numbers = {image.path: number for number, image in enumerate(run.images)}
    return render(
        "report.html.j2",
        title="Test report",
        subtitle=f"{Path(about['Config']).stem} on {about['Data']}",
        about=about,
        means=run.means,
        calibration_error=run.calibration_error,
        num_images=len(run.images),
        classes=_class_rows(run, colors),
        figures=FIGURES,
        matrix=_matrix(run, shown),
        left_out=len(run.classes) - len(shown),
        errors=_error_data(run, shown),
        histogram=image_histogram(run.image_means),
        galleries=[
            ("Worst images", [_shown(run, numbers[path], layers) for path, layers in worst]),
            ("Best images", [_shown(run, numbers[path], layers) for path, layers in best]),
        ],
        distances=_distance_rows(run, colors),
        small=SMALL,
        dilation=DILATION,
        calibration=None if run.calibration is None else calibration_curve(run.calibration),
        curves=_curves(work_dir),
    )


def _class_rows(run: RunFigures, colors: Sequence[str]) -> list[dict[str, Any]]:
    total = max(int(run.true.sum()), 1)
    return [
        dict(
            name=name,
            color=colors[number],
            share=run.true[:, number].sum() / total,
            figures=[run.by_class[figure][number] for figure in FIGURES],
        )
        for number, name in enumerate(run.classes)
    ]


def _distance_rows(run: RunFigures, colors: Sequence[str]) -> list[dict[str, Any]]:
    return [
        dict(
            name=name,
            color=colors[number],
            median=float(np.median(values)),
            mean=float(values.mean()),
            largest=float(values.max()),
            images=len(values),
        )
        for number, (name, values) in enumerate(zip(run.classes, run.distances, strict=True))
        if len(values)
    ]


def _shown_classes(run: RunFigures) -> list[int]:
    """Classes of the matrix that the page has, in their order."""
    occurring = [
        n for n in range(len(run.classes)) if run.confusion[n].any() or run.confusion[:, n].any()
    ]
    if len(occurring) <= SHOWN_CLASSES:
        return occurring
    wrong = run.confusion.sum(0) + run.confusion.sum(1) - 2 * run.confusion.diagonal()
    return sorted(sorted(occurring, key=lambda n: -wrong[n])[:SHOWN_CLASSES])


def _matrix(run: RunFigures, shown: Sequence[int]) -> list[dict[str, Any]]:
    """The rows of the confusion matrix: shares of the true class's pixels and of the predicted."""
    true, found = run.confusion.sum(axis=1), run.confusion.sum(axis=0)
    return [
        dict(
            name=run.classes[row],
            cells=[
                dict(
                    id=row * len(run.classes) + column,
                    name=run.classes[column],
                    pixels=int(run.confusion[row, column]),
                    of_row=float(run.confusion[row, column] / max(true[row], 1)),
                    of_column=float(run.confusion[row, column] / max(found[column], 1)),
                    right=row == column,
                )
                for column in shown
            ],
        )
        for row in shown
    ]


def _error_data(run: RunFigures, shown: Sequence[int]) -> dict[str, Any]:
    """What the page's script tells of a cell that is chosen."""
    size, wanted = len(run.classes), set(shown)
    cells = {
        place: images
        for place, images in run.images_of_errors.items()
        if place // size in wanted and place % size in wanted
    }
    numbers = sorted({number for images in cells.values() for number, _ in images})
    return {
        "cells": cells,
        "names": {number: Path(run.images[number].path).name for number in numbers},
    }


def _shown(run: RunFigures, number: int, layers: Any) -> dict[str, Any]:
    iou = run.image_iou[number]
    lowest = [n for n in np.argsort(iou) if not np.isnan(iou[n])][:3]
    return dict(
        number=number,
        name=Path(run.images[number].path).name,
        path=run.images[number].path,
        mean=run.image_means[number],
        accuracy=run.image_accuracy[number],
        lowest=[(run.classes[n], iou[n]) for n in lowest],
        layers=layers,
    )


def _curves(work_dir: Path) -> list[str]:
    """Charts of the training whose log is in ``work_dir``; none where there is none."""
    if not work_dir.is_dir() or not any(work_dir.glob("*/vis_data/scalars.json")):
        return []
    try:
        curves = read_log(work_dir)
    except (UserError, OSError, UnicodeDecodeError):
        return []
    keys = [key for key in CURVES if key in curves and len(curves[key]) > 1]
    return run_curves(curves, keys)
