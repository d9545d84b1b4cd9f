"""Say what is wrong with a data set before a day of training does.

Reads every image and label of a config's splits as training would, and lists all faults by file,
the share of each class, and settings that fit. Exits with 1 where training would fail or be
meaningless.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from mmseg_gc.cli.command import cli
from mmseg_gc.errors import UserError

SHOWN_FILES = 10


def parse_args(arguments: Sequence[str] | None) -> argparse.Namespace:
    from mmseg_gc.arguments import CONFIG_HELP, ArgumentParser, add_config_options

    parser = ArgumentParser(
        description=__doc__, command="check", example="mmseg_gc check own.py --fix-report page.html"
    )
    parser.add_argument("config", help=CONFIG_HELP)
    parser.add_argument(
        "--split", help="splits to check, such as train,val (default: all that the config has)"
    )
    parser.add_argument("--fix-report", type=Path, metavar="PAGE.html", help="write a page as well")
    parser.add_argument("--nproc", type=int, default=os.cpu_count(), help="number of processes")
    add_config_options(parser, "train_dataloader.dataset.data_root=/path")
    return parser.parse_args(arguments)


def wanted_splits(choice: str | None, cfg) -> list[str]:
    """The splits to check.

    Raises:
        UserError: One does not exist, or the config does not have it.
    """
    from mmseg_gc.cli.dataset_doctor.splits import SPLITS

    there = [split for split in SPLITS if cfg.get(f"{split}_dataloader")]
    wanted = choice.split(",") if choice else there
    unknown = [split for split in wanted if split not in there]
    if unknown or not wanted:
        raise UserError(
            f"--split: {cfg.filename} has no {', '.join(unknown) or 'data set'}; choose from "
            f"{', '.join(there) or 'a config with a train_dataloader'}."
        )
    return wanted


def print_classes(charts) -> None:
    from prettytable import PrettyTable

    for chart in charts:
        split, size = chart.split, ""
        if chart.sizes:
            sizes = [f"{w} x {h}" for (w, h), _ in chart.sizes.most_common(3)]
            size = f", {', '.join(sizes)}{' …' if len(chart.sizes) > 3 else ''}"
        total = chart.labelled + chart.ignored
        ignored = f", {chart.ignored / total:.1%} ignored" if total else ""
        print(f"{split.name}: {len(chart.reports)} images, {chart.num_labels} labels", end="")
        print(f"{size}{ignored}")
    charts = [chart for chart in charts if chart.labelled]
    if not charts:
        return
    classes = charts[0].split.classes
    table = PrettyTable(["id", "class"])
    table.align = "r"
    table.align["class"] = "l"
    for number in range(max(len(classes), *(max(chart.pixels) + 1 for chart in charts))):
        table.add_row([number, classes[number] if number < len(classes) else "?"])
    for chart in charts:
        shares = [chart.pixels[row[0]] / chart.labelled for row in table.rows]
        table.add_column(f"{chart.split.name} %", [f"{100 * share:.3f}" for share in shares], "r")
        images = [chart.images[row[0]] for row in table.rows]
        table.add_column(f"{chart.split.name} images", images, "r")
    print(table)


def print_findings(findings, page: Path | None) -> None:
    from mmseg_gc.cli.dataset_doctor.findings import KINDS, by_kind

    for kind, group in by_kind(findings).items():
        about = KINDS[kind]
        print(f"\n{about.severity.upper()}: {about.title} ({len(group)}). {about.cure}")
        for finding in group[:SHOWN_FILES]:
            print(f"  {finding}")
        if len(group) > SHOWN_FILES:
            rest = f"all are in {page}" if page else "--fix-report PAGE.html lists all"
            print(f"  … and {len(group) - SHOWN_FILES} more; {rest}")


def settings(diagnosis, cfg) -> str:
    """What to paste into the config; empty without labels for training."""
    from mmseg_gc.cli.dataset_doctor.advice import as_config
    from mmseg_gc.config.leaf_datasets import leaf_datasets

    lines = []
    for chart in diagnosis.charts:
        if chart.colors:
            colors = [list(color) for color, _ in chart.colors.most_common(32)]
            lines.append(f"# Colours in the masks of {chart.split.name}, by pixels: {colors}")
    if diagnosis.advice and diagnosis.advice.class_weight:
        rules = next(c.split.rules for c in diagnosis.charts if "train" in c.split.names)
        is_wrapped = leaf_datasets(cfg.train_dataloader.dataset) != [cfg.train_dataloader.dataset]
        lines += [f"# {reason}" for reason in diagnosis.advice.reasons]
        lines.append(as_config(diagnosis.advice, cfg, rules["num_classes"], is_wrapped))
    return "\n".join(lines)


@cli
def main(arguments: Sequence[str] | None = None) -> int:
    args = parse_args(arguments)
    from mmengine.registry import init_default_scope

    from mmseg_gc.atomic import write_atomically
    from mmseg_gc.cli.dataset_doctor.diagnosis import channel_faults, diagnose
    from mmseg_gc.cli.dataset_doctor.page import write_page
    from mmseg_gc.cli.dataset_doctor.reading import examine, in_parallel
    from mmseg_gc.cli.dataset_doctor.splits import config_findings, open_splits
    from mmseg_gc.config import load_config
    from mmseg_gc.engine.console import quiet_screen

    quiet_screen()
    cfg = load_config(args.config, args.cfg_options, check=False)
    init_default_scope(cfg.default_scope)
    splits = open_splits(cfg, wanted_splits(args.split, cfg))
    pairs = [pair for split in splits for pair in split.pairs]
    reports = list(in_parallel(examine, pairs, args.nproc, "reading"))
    diagnosis = diagnose(splits, reports, args.nproc)
    diagnosis.findings[:0] = config_findings(cfg, splits)
    diagnosis.findings += channel_faults(cfg, diagnosis.charts)
    pasted = settings(diagnosis, cfg)
    print_classes(diagnosis.charts)
    print_findings(diagnosis.findings, args.fix_report)
    if pasted:
        pasted = f"_base_ = {os.path.abspath(args.config)!r}\n{pasted}"
        print(f"\nSettings that fit the labels, as a config of their own:\n{pasted}")
    if args.fix_report:
        page = write_page(diagnosis, Path(args.config).stem, pasted)
        content = page.encode(errors="xmlcharrefreplace")  # names may be no UTF-8
        write_atomically(args.fix_report, lambda file: file.write(content))
        print(f"\nThe page is {args.fix_report}")
    if diagnosis.is_fatal:
        print("\nTraining would fail or be meaningless: mend the errors above.")
    elif not diagnosis.findings:
        print("\nNothing wrong found.")
    return int(diagnosis.is_fatal)
