"""The table of a comparison: on the screen, as a page with a plot, and for other programs."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from io import StringIO
from pathlib import Path

import numpy as np

from mmseg_gc.atomic import put_together
from mmseg_gc.cli.comparing.entries import Entry
from mmseg_gc.cli.comparing.runs import figures_of
from mmseg_gc.report.charts import cost_chart, standing_alone
from mmseg_gc.report.page import render

HEADER = ("config", "mIoU", "parameters, M", "GFLOP", "ms an image", "peak, MiB")


@dataclass(frozen=True)
class Row:
    """A config's figures in the units of `HEADER`; None for all of one that failed, with why."""

    name: str
    error: str | None = None
    miou: float | None = None
    parameters: float | None = None
    gflop: float | None = None
    ms: float | None = None
    mib: float | None = None
    by_class: Mapping[str, float | None] = field(default_factory=dict)

    def cells(self) -> list[str]:
        if self.error is not None:
            return [self.name, "failed", *("" for _ in HEADER[2:])]
        digits = (2, 2, 1, 0, 0)
        numbers = (self.miou, self.parameters, self.gflop, self.ms, self.mib)
        return [self.name, *(f"{n:.{d}f}" for n, d in zip(numbers, digits, strict=True))]


def rows_of(entries: Sequence[Entry], failed: Mapping[str, str]) -> list[Row]:
    """The figures of each entry, in their order."""
    rows = []
    for entry in entries:
        found = figures_of(entry)
        error = failed.get(entry.name)
        if found is None or error is not None:
            rows.append(Row(entry.name, error or "it has no figures"))
            continue
        rows.append(
            Row(
                entry.name,
                miou=found["miou"],
                parameters=found["parameters"] / 1e6,
                gflop=found["operations"] / 1e9,
                ms=found["seconds"] * 1e3,
                mib=found["peak"] / 2**20,
                by_class=found["by_class"],
            )
        )
    return rows


def measured_facts(entries: Sequence[Entry]) -> dict[str, str]:
    """What the figures were measured on, of the first that has some."""
    found = next(filter(None, map(figures_of, entries)), None)
    if found is None:
        return {}
    height, width = found["size"]
    return {
        "test images": f"{found['num_images']:,}",
        "size of the image that is timed": f"{height} × {width}",
        "precision of the tests": found["key"]["precision"],
        "device": f"{found['device']}, {found['threads']} threads",
        "version": found["key"]["version"],
        "date": found["date"],
    }


def text_table(rows: Sequence[Row], *, per_class: bool) -> str:
    """The table of the screen."""
    from prettytable import PrettyTable

    table = PrettyTable(list(HEADER))
    table.align = "r"
    table.align[HEADER[0]] = "l"
    table.add_rows([row.cells() for row in rows])
    parts = [table.get_string()]
    classes = _classes(rows)
    if per_class and classes:
        of_classes = PrettyTable(["IoU", *(row.name for row in rows if row.error is None)])
        of_classes.align = "r"
        of_classes.align["IoU"] = "l"
        of_classes.add_rows(_class_rows(rows))
        parts.append(of_classes.get_string())
    return "\n".join(parts)


def markdown_table(rows: Sequence[Row]) -> str:
    """The same for a README."""
    lines: list[Sequence[str]] = [HEADER, ("---", *("---:" for _ in HEADER[1:]))]
    lines += [[cell.replace("|", "\\|") for cell in row.cells()] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def csv_table(rows: Sequence[Row]) -> str:
    """One line a config: all figures, empty where there are none."""
    classes = _classes(rows)
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    keys = ("name", "error", "miou", "parameters", "gflop", "ms", "mib")
    units = ("config", "error", *HEADER[1:])
    writer.writerow([*units, *(f"IoU.{name}" for name in classes)])
    for row in rows:
        figures = [getattr(row, key) for key in keys]
        figures += [row.by_class.get(name) for name in classes]
        writer.writerow(["" if value is None else value for value in figures])
    return text.getvalue()


def write_results(
    out: Path, rows: Sequence[Row], facts: Mapping[str, str], configs: Mapping[str, str]
) -> None:
    """Write the page ``out``, and beside it .json, .csv, .md and the plot as .svg, or none.

    ``facts`` are what all have in common; ``configs`` the file of each, by name.

    Raises:
        UserError: one of them can't be written.
    """
    whole = [row for row in rows if row.error is None]
    chart = ""
    if whole:
        columns = (
            np.array([getattr(r, key) for r in whole]) for key in ("ms", "miou", "parameters")
        )
        chart = cost_chart([row.name for row in whole], *columns)
    page = render(
        "configs.html.j2",
        title="Comparison of configs",
        subtitle=", ".join(row.name for row in rows),
        header=HEADER,
        rows=rows,
        best=max((row.miou for row in whole if row.miou is not None), default=0.0),
        chart=chart,
        names=[row.name for row in whole],
        class_rows=_class_rows(rows),
        facts=facts,
        configs=configs,
    )
    content = {"facts": facts, "configs": configs, "rows": [asdict(row) for row in rows]}
    text = {
        ".json": json.dumps(content, indent=1, ensure_ascii=False) + "\n",
        ".csv": csv_table(rows),
        ".md": markdown_table(rows),
        **({".svg": standing_alone(chart)} if chart else {}),
    }
    files = {out.with_suffix(suffix): each.encode() for suffix, each in text.items()}
    put_together({**files, out: page.encode()})


def _classes(rows: Sequence[Row]) -> list[str]:
    return next((list(row.by_class) for row in rows if row.error is None), [])


def _class_rows(rows: Sequence[Row]) -> list[list[str]]:
    whole = [row for row in rows if row.error is None]
    return [
        [name, *("–" if (iou := row.by_class[name]) is None else f"{iou:.1f}" for row in whole)]
        for name in _classes(rows)
    ]
