"""Two tests of the same images side by side, and how sure their difference is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmseg_gc.atomic import put_together
from mmseg_gc.errors import UserError
from mmseg_gc.report.charts import interval_chart
from mmseg_gc.report.files import Results, check_target, read_results
from mmseg_gc.report.page import render

RESAMPLES = 1000
SEED = 0
SHOWN = 10  # images that gained or lost most
LOW, HIGH = 2.5, 97.5  # percentiles of a 95 % interval


@dataclass(frozen=True)
class Difference:
    """IoU of two runs in percent, and B minus A in points with its interval; NaN: not counted."""

    name: str
    one: float
    other: float
    middle: float
    low: float
    high: float

    @property
    def certain(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def write_comparison(
    one: str | Path, other: str | Path, path: str | Path, *, option: str = "--out"
) -> list[Difference]:
    """Write the page ``path``, which ``option`` names, on the reports of two folders.

    Returns the difference of mIoU, and then those of the classes.

    Raises:
        UserError: a folder has no report, the runs differ in classes or images, or the page can't
            be written.
    """
    check_target(path, option)
    runs = [read_results(folder) for folder in (one, other)]
    runs[1] = _aligned(*runs)
    names = [run.name for run in runs]
    if names[0] == names[1]:
        names = [str(one), str(other)]
    found = differences(*runs)
    gains = _image_gains(*runs)
    middle, low, high = (
        np.array([getattr(d, key) for d in found]) for key in ("middle", "low", "high")
    )
    page = render(
        "comparison.html.j2",
        title="Comparison of two tests",
        subtitle=f"{names[1]} (B) against {names[0]} (A)",
        names=names,
        abouts=[run.metrics.get("about") or {} for run in runs],
        mean=found[0],
        rows=found,
        chart=interval_chart([d.name for d in found], middle, low, high),
        num_images=len(runs[0].images),
        resamples=RESAMPLES,
        seed=SEED,
        gained=gains[:SHOWN],
        lost=gains[::-1][:SHOWN],
    )
    put_together({Path(path): page.encode()})
    return found


def differences(one: Results, other: Results) -> list[Difference]:
    """Of mIoU first, and then of each class, with bootstrap intervals over images.

    Images are drawn with replacement, the same ones for both runs, `RESAMPLES` times from `SEED`;
    each draw's IoU is that of its pixels added up.

    Source: Efron, "Bootstrap Methods: Another Look at the Jackknife", 1979 (percentile intervals).
    """
    count = len(one.images)
    draw = np.random.default_rng(SEED)
    weights = draw.multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    ious = [_iou_of(run, np.ones((1, count)))[0] for run in (one, other)]
    drawn = [_iou_of(run, weights) for run in (one, other)]
    names = ["mIoU", *one.classes]
    gaps = drawn[1] - drawn[0]
    found = []
    for number, name in enumerate(names):
        values = gaps[:, number][~np.isnan(gaps[:, number])]
        low, high = np.percentile(values, (LOW, HIGH)) if values.size else (np.nan, np.nan)
        first, second = ious[0][number], ious[1][number]
        found.append(Difference(name, *map(float, (first, second, second - first, low, high))))
    return found


def _iou_of(run: Results, weights: np.ndarray) -> np.ndarray:
    """mIoU and each class's IoU, (R, 1 + C), in %, of images taken ``weights`` (R, N) times."""
    hit, true, found = (weights.astype(float) @ counts for counts in (run.hit, run.true, run.found))
    union = true + found - hit
    ious = np.full(union.shape, np.nan)
    np.divide(100 * hit, union, out=ious, where=union > 0)
    ious[:, _left_out(run)] = np.nan
    known = ~np.isnan(ious)
    means = np.where(known, ious, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    means[~known.any(axis=1)] = np.nan
    return np.hstack([means[:, None], ious])


def _left_out(run: Results) -> list[int]:
    """Classes that the test left out of its means though they have pixels: the ignored one."""
    by_class = (run.metrics.get("by_class") or {}).get("IoU") or []
    return [number for number, value in enumerate(by_class) if value is None]


def _aligned(one: Results, other: Results) -> Results:
    """``other`` in the order of ``one``'s images.

    Raises:
        UserError: they have other classes or other images.
    """
    if one.classes != other.classes:
        odd = sorted(set(one.classes) ^ set(other.classes))[:5]
        raise UserError(
            f"the two runs have different classes ({', '.join(odd) or 'in another order'}): only "
            "tests of the same classes can be compared."
        )
    places = {name: number for number, name in enumerate(other.images)}
    missing = sorted(set(one.images) ^ set(other.images))
    if missing or len(places) != len(other.images) or not one.images:
        raise UserError(
            f"the two runs have different images ({len(missing)} are in one alone"
            f"{', such as ' + missing[0] if missing else ''}): only tests of the same images can "
            "be compared."
        )
    return _taken(other, [places[name] for name in one.images])


def _image_gains(one: Results, other: Results) -> list[dict]:
    """Images with the mIoU of both, the greatest gain first."""
    each = np.eye(1)  # one image at a time
    gains = []
    for number, path in enumerate(one.images):
        pair = [_iou_of(_taken(run, [number]), each)[0][0] for run in (one, other)]
        if not np.isnan(pair).any():
            gains.append(dict(path=path, one=pair[0], other=pair[1], gain=pair[1] - pair[0]))
    return sorted(gains, key=lambda image: -image["gain"])


def _taken(run: Results, places: Sequence[int]) -> Results:
    """``run`` with the images that are at ``places``, in their order."""
    return run._replace(
        images=[run.images[place] for place in places],
        hit=run.hit[places],
        true=run.true[places],
        found=run.found[places],
    )
