"""Charts as inline SVG, by matplotlib, in the colours of the page's style."""

import re
from collections.abc import Callable, Sequence
from html import escape
from io import StringIO
from typing import TYPE_CHECKING

import numpy as np

from mmseg_gc.report.calibration import CONFIDENCE, COUNT, RIGHT
from mmseg_gc.visualization.curves import Curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.typing import RcKeyType

# Stand-ins, which become the variables of the style sheet: matplotlib takes colours alone.
INK, SOFT, LINE, ACCENT, OTHER = "#010203", "#020304", "#030405", "#040506", "#050607"
VARIABLES = {INK: "ink", SOFT: "soft", LINE: "line", ACCENT: "accent", OTHER: "other"}
STYLE: "dict[RcKeyType, str | float]" = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "font.size": 10,
    "text.parse_math": False,  # a class may be called $x$
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}


def image_histogram(means: np.ndarray) -> str:
    """How many images have which mIoU; ``means`` (N,) are ratios, NaN left out."""
    values = 100 * means[~np.isnan(means)]

    def draw(axes: "Axes") -> None:
        axes.hist(values, bins=20, range=(0, 100), color=ACCENT, rwidth=0.88)
        median = float(np.median(values)) if values.size else float("nan")
        axes.axvline(median, color=OTHER, linewidth=1.4)
        axes.set_xlim(0, 100)
        axes.set(xlabel="mIoU of an image, %", ylabel="images")
        axes.locator_params(axis="y", integer=True)
        axes.grid(axis="y")
        axes.set_title(f"median {median:.1f}", color=OTHER, fontsize=10, loc="right")

    return _chart(draw, (6.2, 2.6), f"Histogram of the mIoU of {values.size} images")


def calibration_curve(table: np.ndarray) -> str:
    """Share of right pixels over confidence; ``table`` is (3, B) as `CalibrationWatcher` has it."""
    known = table[COUNT] > 0
    count = np.where(known, table[COUNT], 1)
    confidence, right = (100 * table[i] / count for i in (CONFIDENCE, RIGHT))
    share = 100 * table[COUNT] / max(table[COUNT].sum(), 1)
    edges = np.linspace(0, 100, table.shape[1] + 1)

    def draw(axes: "Axes") -> None:
        axes.bar(edges[:-1], share, np.diff(edges) * 0.9, align="edge", color=LINE, label="pixels")
        axes.plot([0, 100], [0, 100], "--", color=SOFT, linewidth=1, label="as sure as right")
        axes.plot(confidence[known], right[known], "o-", color=ACCENT, markersize=4, label="model")
        axes.set(xlim=(0, 100), ylim=(0, 102))
        axes.set(xlabel="confidence, %", ylabel="right, %; share of pixels, %")
        axes.grid()
        axes.figure.legend(frameon=False, loc="outside upper left", ncols=3)

    return _chart(draw, (5.2, 3.9), "Share of right pixels over the confidence of the model")


def run_curves(curves: Curves, keys: Sequence[str]) -> list[str]:
    """One chart for each of ``keys`` over iterations."""
    return [_run_curve(key, curves[key]) for key in keys]


def _run_curve(key: str, values: dict[int, float]) -> str:
    steps = sorted(values)
    points = [values[step] for step in steps]
    mark = "o-" if len(steps) < 40 else "-"

    def draw(axes: "Axes") -> None:
        axes.plot(steps, points, mark, color=ACCENT, markersize=3, linewidth=1.3)
        axes.set(xlabel="iteration", ylabel=key)
        axes.grid(axis="y")

    return _chart(draw, (5.2, 2.4), f"Curve of {key}")


def interval_chart(
    names: Sequence[str], middle: np.ndarray, low: np.ndarray, high: np.ndarray
) -> str:
    """Differences in points with their intervals, one row a name; NaN rows stay empty."""
    rows = np.arange(len(names))[::-1]
    certain = (low > 0) | (high < 0)

    def draw(axes: "Axes") -> None:
        axes.axvline(0, color=SOFT, linewidth=1)
        axes.hlines(rows, low, high, color=np.where(certain, ACCENT, LINE), linewidth=3)
        axes.scatter(middle, rows, 26, color=np.where(certain, ACCENT, SOFT), zorder=3)
        axes.set_yticks(rows, [name[:28] for name in names], color=INK)
        axes.set_ylim(-0.7, len(names) - 0.3)
        axes.set_xlabel("difference of IoU, points, B minus A")
        axes.tick_params(left=False)
        axes.grid(axis="x")
        axes.spines["left"].set_visible(False)

    return _chart(draw, (7.2, 0.9 + 0.26 * len(names)), "Differences with 95 % intervals")


def cost_chart(
    names: Sequence[str], cost: np.ndarray, quality: np.ndarray, sizes: np.ndarray
) -> str:
    """mIoU in % over milliseconds an image; a mark's area grows with ``sizes``, the parameters.

    Names stand in a column on the right, each at the end of a line from its mark: marks of models
    that cost the same lie too near to each other.
    """
    order = np.argsort(quality, kind="stable")
    low, high = quality.min(), quality.max()
    span = max(high - low, 1.0)
    slots = np.linspace(low - 0.05 * span, high + 0.05 * span, max(len(names), 2))
    width = max(cost.max() - cost.min(), 0.1 * cost.max())
    column = cost.max() + 0.12 * width

    def draw(axes: "Axes") -> None:
        for slot, place in zip(slots, order, strict=False):
            ends = [cost[place], column], [quality[place], slot]
            axes.plot(*ends, color=LINE, linewidth=0.8, zorder=1)
            axes.text(column, slot, f" {names[place][:24]}", va="center", color=INK, fontsize=9)
        area = 40 + 260 * sizes / sizes.max()
        axes.scatter(cost, quality, area, color=ACCENT, alpha=0.75, linewidths=0, zorder=2)
        axes.set_xlim(cost.min() - 0.12 * width, column + 0.45 * width)
        axes.set(xlabel="ms an image", ylabel="mIoU, %")
        axes.grid()

    return _chart(draw, (5.6, max(3.2, 0.24 * len(names) + 1)), "mIoU over ms an image")


def standing_alone(svg: str) -> str:
    """A chart of this file as a file of its own, in the light page's colours."""
    colors = "--ink:#1b1f24;--soft:#5c6670;--line:#d5dade;--accent:#0072b2;--other:#b54e00"
    style = f"<style>svg{{background:#fff;{colors};--font:sans-serif}}</style>"
    return svg.replace(">", f">{style}", 1)


def _chart(draw: Callable[["Axes"], None], size: tuple[float, float], title: str) -> str:
    """What ``draw`` draws, as SVG without an address, a date or a font of its own."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots())
        figure.savefig(text := StringIO(), format="svg", transparent=True)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font: \1 var(--font)", svg)
    for color, variable in VARIABLES.items():
        svg = svg.replace(color, f"var(--{variable})")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(title)}" ', 1)
