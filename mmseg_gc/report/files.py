"""The files of a report: the page, and its figures for other programs beside it."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmseg_gc.atomic import put_together
from mmseg_gc.engine.work_dir import check_work_dir
from mmseg_gc.errors import UserError
from mmseg_gc.report.calibration import CONFIDENCE, COUNT, RIGHT, calibration_error
from mmseg_gc.report.figures import RunFigures
from mmseg_gc.report.gallery import Gallery
from mmseg_gc.report.page import render_report

FORMAT = 1
COUNTS = ("hit", "true", "found")
BESIDE = ("per_image.csv", "per_image.npz", "confusion.npy", "metrics.json")


class Results(NamedTuple):
    """What a report left behind: counts (N, C), int64, by image and class, and ``metrics.json``."""

    name: str
    images: list[str]
    classes: list[str]
    hit: np.ndarray
    true: np.ndarray
    found: np.ndarray
    metrics: dict


def check_target(path: str | Path, option: str) -> None:
    """Make sure that a page can be written to ``path``, which ``option`` names.

    Raises:
        UserError: it has another suffix than .html, is a folder, or its folder can't be written.
    """
    path = Path(path)
    if path.is_dir() or path.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"{option} {path} is no page; name a file that ends in .html.")
    check_work_dir(path.resolve().parent, option)


def write_report(
    path: Path,
    run: RunFigures,
    gallery: Gallery,
    *,
    about: Mapping[str, str],
    palette: Sequence[Sequence[int]] | None,
    work_dir: Path,
) -> None:
    """Write the page ``path`` and the files of `BESIDE`, all of them or none.

    ``work_dir`` is where the log of the training is, if there is one.

    Raises:
        UserError: one of them can't be written.
    """
    page = render_report(run, gallery, about=about, palette=palette, work_dir=work_dir)
    put_together(
        {
            path.with_name("per_image.csv"): _table(run).encode(),
            path.with_name("per_image.npz"): _counts(run),
            path.with_name("confusion.npy"): _array(run.confusion),
            path.with_name("metrics.json"): _json(summary(run, about)),
            path: page.encode(),
        }
    )


def summary(run: RunFigures, about: Mapping[str, str]) -> dict[str, Any]:
    """All figures of a run, in percent, HD95 in pixels; None where there is nothing to count."""
    distances = {
        name: dict(mean=float(values.mean()), median=float(np.median(values)), images=len(values))
        for name, values in zip(run.classes, run.distances, strict=True)
        if len(values)
    }
    calibration = None
    if run.calibration is not None:
        calibration = {
            "ECE": 100 * run.calibration_error,
            "pixels": run.calibration[COUNT].astype(np.int64).tolist(),
            "right": run.calibration[RIGHT].astype(np.int64).tolist(),
            "confidence_sum": run.calibration[CONFIDENCE].tolist(),
        }
    return {
        "format": FORMAT,
        "about": dict(about),
        "classes": run.classes,
        "means": {name: 100 * value for name, value in run.means.items()},
        "by_class": {name: (100 * values).tolist() for name, values in run.by_class.items()},
        "HD95": distances,
        "calibration": calibration,
    }


def read_results(folder: str | Path) -> Results:
    """What a report left in ``folder``, which may also be the page itself.

    Raises:
        UserError: there is no report, or its files are damaged.
    """
    folder = Path(folder)
    folder = folder.parent if folder.is_file() else folder
    try:
        metrics = json.loads((folder / "metrics.json").read_text())
        with np.load(folder / "per_image.npz", allow_pickle=False) as arrays:
            images, classes = (arrays[key].tolist() for key in ("images", "classes"))
            counts = [arrays[key] for key in COUNTS]
    except FileNotFoundError as error:
        raise UserError(
            f"{folder} has no {Path(error.filename).name}: name the folder of a page that "
            "`mmseg_gc report CONFIG CHECKPOINT -o FOLDER/report.html` wrote."
        ) from error
    except Exception as error:  # there is none that no damage can lead to
        raise UserError(f"the report's files in {folder} can't be read ({error}).") from error
    shape = (len(images), len(classes))
    if not isinstance(metrics, dict) or any(one.shape != shape for one in counts):
        raise UserError(f"the report's files in {folder} are damaged; write the report again.")
    name = folder.resolve().name
    hit, true, found = (one.astype(np.int64) for one in counts)
    return Results(name, images, classes, hit, true, found, metrics)


def _json(content: object) -> bytes:
    return (json.dumps(_plain(content), indent=1, ensure_ascii=False) + "\n").encode()


def _plain(node: Any) -> Any:
    """``node`` with None for every NaN, which JSON doesn't have."""
    if isinstance(node, Mapping):
        return {key: _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    return None if isinstance(node, float) and not math.isfinite(node) else node


def _array(array: np.ndarray) -> bytes:
    np.save(content := BytesIO(), array, allow_pickle=False)
    return content.getvalue()


def _counts(run: RunFigures) -> bytes:
    content = BytesIO()
    np.savez_compressed(
        content,
        hit=run.hit,
        true=run.true,
        found=run.found,
        images=np.array([image.path for image in run.images], dtype=np.str_),
        classes=np.array(run.classes, dtype=np.str_),
    )
    return content.getvalue()


def _table(run: RunFigures) -> str:
    """One line an image: figures in percent, empty where there is nothing to count."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["image", "pixels", "ignored", "aAcc", "mIoU", "ECE", *(f"IoU.{c}" for c in run.classes)]
    )
    for number, image in enumerate(run.images):
        error = float("nan")
        if image.calibration is not None:
            error = calibration_error(image.calibration)
        figures = [run.image_accuracy[number], run.image_means[number], error]
        # A spreadsheet would compute a name that begins like a formula.
        path = f"./{image.path}" if image.path.startswith(("=", "+", "-", "@")) else image.path
        writer.writerow(
            [
                path,
                int(run.true[number].sum()),
                image.ignored,
                *(_percent(value) for value in (*figures, *run.image_iou[number])),
            ]
        )
    return text.getvalue()


def _percent(ratio: float) -> str:
    return "" if math.isnan(ratio) else f"{100 * ratio:.2f}"
