"""The report as one HTML page that needs no other file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mmseg_gc.cli.dataset_doctor.charts import class_bars, histogram
from mmseg_gc.cli.dataset_doctor.diagnosis import Chart, Diagnosis
from mmseg_gc.cli.dataset_doctor.findings import ERROR, KINDS, NOTE, WARNING, Finding, by_kind
from mmseg_gc.cli.dataset_doctor.reading import Pair
from mmseg_gc.cli.dataset_doctor.thumbnails import thumbnail

TEMPLATES = Path(__file__).with_name("templates")
SHOWN_IMAGES = 6
SHOWN_FILES = 500

Figure = tuple[str, str]  # an image as a data address, and its caption


def write_page(diagnosis: Diagnosis, title: str, settings: str) -> str:
    """The page's text; ``settings`` are the lines to paste into a config."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    pair_of: dict[str | None, tuple[Pair, Chart]] = {}
    for chart in diagnosis.charts:
        for pair in chart.split.pairs:
            pair_of.update(dict.fromkeys((pair.img_path, pair.seg_map_path), (pair, chart)))
    severity, verdict = _verdict(diagnosis.findings)
    least = ((chart.split.name, _least_labelled(chart)) for chart in diagnosis.charts)
    return environment.get_template("page.html.j2").render(
        title=title,
        settings=settings,
        severity=severity,
        verdict=verdict,
        cards=[_card(chart) for chart in diagnosis.charts],
        findings=[
            _finding(kind, group, pair_of) for kind, group in by_kind(diagnosis.findings).items()
        ],
        histograms=_histograms(diagnosis.charts),
        least_labelled=[(name, shown) for name, shown in least if shown],
        **_classes(diagnosis.charts),
    )


def _verdict(findings: Sequence[Finding]) -> tuple[str, str]:
    """How bad it is, and that in words."""
    counts = {s: sum(f.severity == s for f in findings) for s in (ERROR, WARNING, NOTE)}
    tally = ", ".join(f"{n} {s}{'s' * (n > 1)}" for s, n in counts.items() if n)
    if counts[ERROR]:
        return "error", f"Training would fail or be meaningless: {tally}."
    if counts[WARNING]:
        return "warning", f"Training would run, but look at: {tally}."
    return "good", f"Nothing wrong found{f' ({tally})' if tally else ''}."


def _card(chart: Chart) -> dict[str, Any]:
    lines = [f"{chart.num_labels:,} with labels"]
    if chart.sizes:
        areas = sorted(chart.sizes, key=lambda size: size[0] * size[1])
        sizes = [f"{w} × {h}" for w, h in (areas[0], areas[-1])]
        lines.append(" to ".join(dict.fromkeys(sizes)) + " pixels")
        lines.append(", ".join(chart.pixel_types).replace(" x ", " × ") + " (channels × type)")
    if total := chart.labelled + chart.ignored:
        lines.append(f"{chart.ignored / total:.1%} of the label pixels are ignored")
    return dict(name=chart.split.name, images=f"{len(chart.reports):,}", lines=lines)


def _finding(
    kind: str, group: list[Finding], pair_of: Mapping[str | None, tuple[Pair, Chart]]
) -> dict[str, Any]:
    lines = [str(finding) for finding in group[:SHOWN_FILES]]
    if len(group) > SHOWN_FILES:
        lines.append(f"… and {len(group) - SHOWN_FILES:,} more")
    shown = [f for f in group if f.path in pair_of][:SHOWN_IMAGES]
    figures = [_figure(*pair_of[f.path], f"{f.path} {f.text}") for f in shown]
    return dict(about=KINDS[kind], count=f"{len(group):,}", lines=lines, figures=figures)


def _figure(pair: Pair, chart: Chart, caption: str) -> Figure:
    return thumbnail(pair, chart.split.palette), caption


def _classes(charts: list[Chart]) -> dict[str, Any]:
    """``bars`` of the classes' shares, "" without labels, and the ``splits`` that they are of."""
    charts = [chart for chart in charts if chart.labelled]
    if not charts:
        return dict(bars="", splits=[])
    first = charts[0].split
    count = max(len(first.classes), max(max(chart.pixels) for chart in charts) + 1)
    names = [first.classes[i] if i < len(first.classes) else f"id {i}" for i in range(count)]
    shares = {c.split.name: [c.pixels[i] / c.labelled for i in range(count)] for c in charts}
    return dict(bars=Markup(class_bars(names, first.palette, shares)), splits=list(shares))


def _histograms(charts: list[Chart]) -> list[tuple[str, Markup]]:
    """Headings and drawings."""
    parts = []
    for chart in charts:
        labelled = [report for report in chart.reports if report.raw]
        if not labelled:
            continue
        ignored = [100 * r.ignored / max(1, r.ignored + r.labelled) for r in labelled]
        classes = [len(report.counts) for report in labelled]
        most = max(5, *classes)
        for title, drawing in (
            ("ignored pixels of an image", histogram(ignored, 0, 100, 20, "%")),
            ("classes in an image", histogram(classes, 0, most + 1, min(40, most + 1), "classes")),
        ):
            parts.append((f"{chart.split.name}: {title}", Markup(drawing)))
    return parts


def _least_labelled(chart: Chart) -> list[Figure]:
    pairs = [
        (report.ignored / (report.ignored + report.labelled), pair)
        for pair, report in zip(chart.split.pairs, chart.reports, strict=True)
        if report.ignored
    ]
    pairs.sort(key=lambda entry: -entry[0])
    return [
        _figure(pair, chart, f"{pair.img_path}: {share:.1%} ignored")
        for share, pair in pairs[:SHOWN_IMAGES]
    ]
