"""The report as one HTML page that needs no other file."""

from collections.abc import Sequence
from html import escape

from mmseg_gc.cli.dataset_doctor.charts import class_bars, histogram
from mmseg_gc.cli.dataset_doctor.diagnosis import Chart, Diagnosis
from mmseg_gc.cli.dataset_doctor.findings import ERROR, KINDS, NOTE, WARNING, Finding, by_kind
from mmseg_gc.cli.dataset_doctor.reading import Pair
from mmseg_gc.cli.dataset_doctor.thumbnails import thumbnail

SHOWN_PICTURES = 6
SHOWN_FILES = 500

STYLE = """
:root { color-scheme: light dark; --ground: #f6f7f9; --card: #fff; --ink: #1d2530; --soft: #5d6b7c;
  --line: #dfe4ea; --error: #c62f3b; --warning: #b7791f; --note: #3d6fb4; --good: #2b8a57;
  --s0: #3b76c4; --s1: #e08a3c; --s2: #58a182; }
@media (prefers-color-scheme: dark) { :root { --ground: #14181e; --card: #1d232b; --ink: #e6eaf0;
  --soft: #96a3b3; --line: #323b47; --error: #f0717b; --warning: #e0b15a; --note: #7daee8;
  --good: #63c793; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1080px; padding: 32px 20px 80px; background: var(--ground);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 26px; margin: 0; } h2 { font-size: 19px; margin: 40px 0 12px; }
h3 { font-size: 16px; margin: 0; } p { margin: 4px 0; } .soft { color: var(--soft); }
.verdict { border-left: 6px solid; border-radius: 8px; background: var(--card); margin: 20px 0;
  padding: 14px 18px; font-size: 17px; }
.error { border-color: var(--error); } .warning { border-color: var(--warning); }
.note { border-color: var(--note); } .good { border-color: var(--good); }
.cards { display: flex; flex-wrap: wrap; gap: 12px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 14px 18px; flex: 1 1 200px; } .card b { font-size: 22px; display: block; }
.finding { background: var(--card); border-left: 6px solid; border-radius: 8px; margin: 12px 0;
  padding: 14px 18px; } .finding h3 span { color: var(--soft); font-weight: normal; }
ul { margin: 8px 0; padding-left: 18px; max-height: 340px; overflow: auto; }
li, pre { font: 13px/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(310px, 1fr)); gap: 12px;
  margin-top: 10px; } figure { margin: 0; } figure img { width: 100%; border-radius: 6px; }
figcaption { font-size: 12px; color: var(--soft); overflow-wrap: anywhere; }
.chart { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 16px; overflow-x: auto; } .chart.small { flex: 1 1 330px; }
svg { max-width: 100%; height: auto; } svg text { fill: var(--ink); font: 12px system-ui; }
svg .tick, svg .end, svg .value { fill: var(--soft); font-size: 11px; }
svg .tick { text-anchor: middle; } svg .end { text-anchor: end; }
svg .grid, svg .axis { stroke: var(--line); } .s0 { fill: var(--s0); background: var(--s0); }
.s1 { fill: var(--s1); background: var(--s1); } .s2 { fill: var(--s2); background: var(--s2); }
.key { display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin: 0 6px 0 14px; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 14px;
  white-space: pre-wrap; }
"""


def write_page(diagnosis: Diagnosis, title: str, settings: str) -> str:
    """The page's text; ``settings`` are the lines to paste into a config."""
    pair_of = {}
    for chart in diagnosis.charts:
        for pair in chart.split.pairs:
            pair_of.update(dict.fromkeys((pair.img_path, pair.seg_map_path), (pair, chart)))
    body = [
        f"<h1>{escape(title)}</h1>",
        '<p class="soft">Data set check by tools/check_dataset.py</p>',
        _verdict(diagnosis.findings),
        '<div class="cards">' + "".join(map(_card, diagnosis.charts)) + "</div>",
    ]
    if diagnosis.findings:
        body.append("<h2>Findings</h2>")
        for kind, group in by_kind(diagnosis.findings).items():
            body.append(_finding(kind, group, pair_of))
    body += [_classes(diagnosis.charts), _histograms(diagnosis.charts)]
    body += [_least_labelled(chart) for chart in diagnosis.charts]
    if settings:
        body.append(f"<h2>Settings that fit the labels</h2><pre>{escape(settings)}</pre>")
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}: data set check</title><style>{STYLE}</style>"
        f"<body>{''.join(body)}</body></html>"
    )


def _verdict(findings: Sequence[Finding]) -> str:
    counts = {s: sum(f.severity == s for f in findings) for s in (ERROR, WARNING, NOTE)}
    tally = ", ".join(f"{n} {s}{'s' * (n > 1)}" for s, n in counts.items() if n)
    if counts[ERROR]:
        text = f"Training would fail or be meaningless: {tally}."
        return f'<div class="verdict error">{text}</div>'
    if counts[WARNING]:
        return f'<div class="verdict warning">Training would run, but look at: {tally}.</div>'
    return f'<div class="verdict good">Nothing wrong found{f" ({tally})" if tally else ""}.</div>'


def _card(chart: Chart) -> str:
    lines = [f"{chart.num_labels:,} with labels"]
    if chart.sizes:
        areas = sorted(chart.sizes, key=lambda size: size[0] * size[1])
        sizes = [f"{w} × {h}" for w, h in (areas[0], areas[-1])]
        lines.append(" to ".join(dict.fromkeys(sizes)) + " pixels")
        lines.append(", ".join(chart.pixel_types).replace(" x ", " × ") + " (channels × type)")
    if total := chart.labelled + chart.ignored:
        lines.append(f"{chart.ignored / total:.1%} of the label pixels are ignored")
    details = "".join(f'<p class="soft">{escape(line)}</p>' for line in lines)
    name, count = escape(chart.split.name), len(chart.reports)
    return f'<div class="card">{name}<b>{count:,} pictures</b>{details}</div>'


def _finding(kind: str, group: list[Finding], pair_of: dict) -> str:
    about = KINDS[kind]
    items = [f"<li>{escape(str(finding))}</li>" for finding in group[:SHOWN_FILES]]
    if len(group) > SHOWN_FILES:
        items.append(f"<li>… and {len(group) - SHOWN_FILES:,} more</li>")
    shown = [f for f in group if f.path in pair_of][:SHOWN_PICTURES]
    pictures = [_figure(*pair_of[f.path], f"{f.path} {f.text}") for f in shown]
    return (
        f'<div class="finding {about.severity}"><h3>{about.severity}: {escape(about.title)} '
        f"<span>({len(group):,})</span></h3><p>{escape(about.cure)}</p>"
        f'<ul>{"".join(items)}</ul><div class="pictures">{"".join(pictures)}</div></div>'
    )


def _figure(pair: Pair, chart: Chart, caption: str) -> str:
    image = thumbnail(pair, chart.split.palette)
    return f'<figure><img alt="" src="{image}"><figcaption>{escape(caption)}</figcaption></figure>'


def _classes(charts: list[Chart]) -> str:
    charts = [chart for chart in charts if chart.labelled]
    if not charts:
        return ""
    first = charts[0].split
    count = max(len(first.classes), max(max(chart.pixels) for chart in charts) + 1)
    names = [first.classes[i] if i < len(first.classes) else f"id {i}" for i in range(count)]
    shares = {c.split.name: [c.pixels[i] / c.labelled for i in range(count)] for c in charts}
    keys = "".join(
        f'<span class="key s{index}"></span>{escape(name)}' for index, name in enumerate(shares)
    )
    bars = class_bars(names, first.palette, shares)
    return (
        f"<h2>Share of each class in the labelled pixels</h2>"
        f'<div class="chart"><p class="soft">Logarithmic.{keys}</p>{bars}</div>'
    )


def _histograms(charts: list[Chart]) -> str:
    parts = []
    for chart in charts:
        labelled = [report for report in chart.reports if report.raw]
        if not labelled:
            continue
        ignored = [100 * r.ignored / max(1, r.ignored + r.labelled) for r in labelled]
        classes = [len(report.counts) for report in labelled]
        name, most = escape(chart.split.name), max(5, *classes)
        for title, drawing in (
            ("ignored pixels of a picture", histogram(ignored, 0, 100, 20, "%")),
            ("classes in a picture", histogram(classes, 0, most + 1, min(40, most + 1), "classes")),
        ):
            heading = f'<p class="soft">{name}: {title}</p>'
            parts.append(f'<div class="chart small">{heading}{drawing}</div>')
    if not parts:
        return ""
    return f'<h2>From picture to picture</h2><div class="cards">{"".join(parts)}</div>'


def _least_labelled(chart: Chart) -> str:
    pairs = [
        (report.ignored / (report.ignored + report.labelled), pair)
        for pair, report in zip(chart.split.pairs, chart.reports, strict=True)
        if report.ignored
    ]
    pairs.sort(key=lambda entry: -entry[0])
    figures = [
        _figure(pair, chart, f"{pair.img_path}: {share:.1%} ignored")
        for share, pair in pairs[:SHOWN_PICTURES]
    ]
    if not figures:
        return ""
    title = f"{escape(chart.split.name)}: the least labelled pictures"
    return f'<h2>{title}</h2><div class="pictures">{"".join(figures)}</div>'
