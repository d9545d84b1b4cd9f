"""From reports of single pairs to what is wrong with the whole data set."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice, pairwise

from mmseg_gc.cli.dataset_doctor.advice import Advice, advise
from mmseg_gc.cli.dataset_doctor.findings import ERROR, Finding
from mmseg_gc.cli.dataset_doctor.reading import Pair, Report, in_parallel, whole_digest
from mmseg_gc.cli.dataset_doctor.splits import Split

# Above this share of an evaluation split in the training split, its score says nothing.
MEANINGLESS_LEAK = 0.1


@dataclass
class Chart:
    """The figures of one split. Counts are pixels by class, sizes images by (w, h)."""

    split: Split
    reports: list[Report]
    pixels: Counter = field(default_factory=Counter)
    images: Counter = field(default_factory=Counter)
    ignored: int = 0
    sizes: Counter = field(default_factory=Counter)
    pixel_types: Counter = field(default_factory=Counter)
    colors: Counter = field(default_factory=Counter)

    @property
    def num_labels(self) -> int:
        return sum(bool(report.raw) for report in self.reports)

    @property
    def labelled(self) -> int:
        return self.pixels.total()


@dataclass
class Diagnosis:
    """Everything that the printed report and the page show."""

    charts: list[Chart]
    findings: list[Finding]
    advice: Advice | None

    @property
    def is_fatal(self) -> bool:
        return any(finding.severity == ERROR for finding in self.findings)


def diagnose(splits: list[Split], reports: list[Report], nproc: int) -> Diagnosis:
    """Put the ``reports`` on all pairs of ``splits``, in their order, together."""
    in_order = iter(reports)
    charts = [_chart(split, list(islice(in_order, len(split.pairs)))) for split in splits]
    findings = [finding for split in splits for finding in split.findings]
    for chart in charts:
        findings += _faults_of_files(chart)
        findings += _faults_of_split(chart)
    findings += _repeated(charts, nproc)
    advice = None
    train = next((chart for chart in charts if "train" in chart.split.names), None)
    if train is not None and train.num_labels:
        advice = advise(train.reports, train.split.rules)
        if advice.differs(train.split.rules):
            text = " ".join(advice.reasons)
            findings.append(Finding("rules", train.split.name, text))
    return Diagnosis(charts, findings, advice)


def _chart(split: Split, reports: list[Report]) -> Chart:
    chart = Chart(split, reports)
    for report in reports:
        chart.pixels.update(report.counts)
        chart.images.update(report.counts.keys())
        chart.ignored += report.ignored
        chart.colors.update(report.colors)
        if report.size:
            chart.sizes[report.size] += 1
            chart.pixel_types[report.pixel_type] += 1
    return chart


def _faults_of_files(chart: Chart) -> list[Finding]:
    name, found = chart.split.name, []
    for pair, report in zip(chart.split.pairs, chart.reports, strict=True):
        found += [Finding(kind, name, text, path) for kind, text, path in report.faults]
        if report.ignored and not report.counts and not report.faults:
            found.append(Finding("ignored", name, "every pixel is ignored", pair.seg_map_path))
    return found


def _faults_of_split(chart: Chart) -> list[Finding]:
    split = chart.split
    found: list[Finding] = []
    if not chart.num_labels or "train" not in split.names:
        return found
    seen = [number for number, pixels in chart.pixels.items() if pixels]
    if not seen:
        found.append(Finding("meaningless", split.name, "no pixel of the split has a class"))
    elif len(seen) == 1 and len(split.classes) > 1:
        text = f"all labelled pixels are of class {_named(split, seen[0])}"
        if chart.ignored:
            share = chart.ignored / (chart.ignored + chart.labelled)
            number = split.rules["ignore_index"]
            text += f", and the other {share:.1%} are ignored (ignore_index={number})"
        found.append(Finding("meaningless", split.name, text))
    elif absent := sorted(set(range(len(split.classes))) - set(seen)):
        names = ", ".join(_named(split, number) for number in absent)
        found.append(Finding("absent", split.name, f"no pixel of {names}"))
    return found


def channel_faults(cfg: Mapping, charts: list[Chart]) -> list[Finding]:
    """Images whose channels aren't those that the model takes."""
    model = cfg.get("model") or {}
    preprocessor = model.get("data_preprocessor") or cfg.get("data_preprocessor") or {}
    mean, backbone = preprocessor.get("mean"), model.get("backbone") or {}
    if not backbone and not mean:
        return []
    expected = len(mean) if mean else backbone.get("in_channels", 3)
    source = "data_preprocessor.mean has" if mean else "model.backbone.in_channels is"
    fitting = {expected, 1} if mean and expected == 3 else {expected}  # grey becomes three channels
    return [
        Finding(
            "channels",
            chart.split.name,
            f"has {report.channels} channels, but {source} {expected}",
            pair.img_path,
        )
        for chart in charts
        for pair, report in zip(chart.split.pairs, chart.reports, strict=True)
        if report.channels and report.channels not in fitting
        if not pair.decoding.changes_channels
    ]


def _named(split: Split, number: int) -> str:
    known = number < len(split.classes)
    return f"{number} ({split.classes[number].strip()})" if known else str(number)


def _repeated(charts: list[Chart], nproc: int) -> list[Finding]:
    """Images that occur more than once, inside a split or across splits."""
    alike: Mapping[bytes, list[Pair]] = defaultdict(list)
    for chart in charts:
        seen = set()  # a name listed twice is another finding
        for pair, report in zip(chart.split.pairs, chart.reports, strict=True):
            if report.digest and pair.img_path not in seen:
                seen.add(pair.img_path)
                alike[report.digest].append(pair)
    groups = [pairs for pairs in alike.values() if len(pairs) > 1]
    suspects = [pair for pairs in groups for pair in pairs if len({p.img_path for p in pairs}) > 1]
    digests = {}
    if suspects:
        whole = in_parallel(whole_digest, suspects, nproc, "comparing")
        digests = dict(zip([pair.img_path for pair in suspects], whole, strict=True))
    same: Mapping[bytes | str, list[Pair]] = defaultdict(list)
    for pairs in groups:
        for pair in pairs:
            same[digests.get(pair.img_path, pair.img_path)].append(pair)
    found: list[Finding] = []
    leaked: Counter[str] = Counter()
    for pairs in same.values():
        training = [pair for pair in pairs if pair.split == "train"]
        others = [pair for pair in pairs if pair.split != "train"]
        for pair in others if training else ():
            leaked[pair.split] += 1
            text = f"is also in {training[0].split}: {training[0].img_path}"
            found.append(Finding("leak", pair.split, text, pair.img_path))
        for group in (training, others):
            by_path = {pair.img_path: pair for pair in group}
            for first, second in pairwise(by_path.values()):
                text = f"is the same image as {first.img_path}"
                found.append(Finding("twin", second.split, text, second.img_path))
    for chart in charts:
        name, count = chart.split.name, leaked[chart.split.name]
        if count > MEANINGLESS_LEAK * len(chart.reports):
            text = f"{count} of its {len(chart.reports)} images are training images"
            found.append(Finding("meaningless", name, text))
    return found
