"""Hold several configs against each other: equal data, seed and schedule, and one table."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from mmseg_gc.cli.command import cli
from mmseg_gc.cli.short_keys import ABOUT
from mmseg_gc.errors import UserError

SETTING = re.compile(r"[a-z_]+=.*", re.DOTALL)


def parse_args(arguments: Sequence[str] | None) -> argparse.Namespace:
    from mmseg_gc.arguments import CONFIG_HELP, ArgumentParser, add_config_options

    parser = ArgumentParser(
        description=__doc__,
        command="compare",
        example="mmseg_gc compare fcn.py gcnet.py pspnet.py iters=2000 crop=256 --jobs 2",
    )
    parser.add_argument(
        "words",
        nargs="+",
        metavar="CONFIG|KEY=VALUE",
        help=f"{CONFIG_HELP}; and what is set in all of them, {', '.join(ABOUT)}: iters=2000",
    )
    add_config_options(parser, "model.pretrained=None")
    parser.add_argument(
        "--work-dir",
        default="work_dirs/compare",
        help="folder with one of each config, in which what is finished is found again and what "
        "was cut off goes on; default: work_dirs/compare",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--checkpoints",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="test these, one a config in their order, and train nothing",
    )
    what.add_argument(
        "--test-only",
        action="store_true",
        help="test what --work-dir has of an earlier call, and train nothing",
    )
    what.add_argument("--overwrite", action="store_true", help="train all anew")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once; default: 1")
    parser.add_argument(
        "--precision",
        choices=("fp32", "bf16", "fp16"),
        default="fp32",
        help="of the tests; training in mixed precision is amp=true",
    )
    parser.add_argument("--per-class", action="store_true", help="print each class's IoU as well")
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        metavar="FILE.html",
        help="the page, beside which the table is as .md, .csv and .json and the plot as .svg; "
        "default: compare.html in --work-dir",
    )
    return parser.parse_intermixed_args(arguments)


@cli
def main(arguments: Sequence[str] | None = None) -> int:
    args = parse_args(arguments)
    from mmseg_gc.cli.comparing.entries import read_entries, shared_facts
    from mmseg_gc.cli.comparing.results import measured_facts, rows_of, text_table, write_results
    from mmseg_gc.cli.comparing.runs import require_checkpoints, score_all, train_all
    from mmseg_gc.cli.short_keys import short_options
    from mmseg_gc.config import load_config
    from mmseg_gc.engine.console import silent_notices
    from mmseg_gc.engine.work_dir import check_work_dir
    from mmseg_gc.report import check_target

    settings = [word for word in args.words if SETTING.fullmatch(word)]
    configs = [word for word in args.words if word not in settings]
    if len(configs) < 2:
        raise UserError(f"{len(configs)} config is none to compare: name two or more.")
    if args.jobs < 1:
        raise UserError(f"--jobs {args.jobs} is no number of trainings; give 1 or more.")
    if args.checkpoints and len(args.checkpoints) != len(configs):
        raise UserError(
            f"--checkpoints has {len(args.checkpoints)} files for {len(configs)} configs."
        )

    def options(config: str) -> dict:
        plain = load_config(config, args.cfg_options, check=False)
        return {**short_options(settings, plain), **(args.cfg_options or {})}

    training = not (args.checkpoints or args.test_only)
    out = args.out or Path(args.work_dir, "compare.html")
    with silent_notices():
        # What is given isn't mixed with what was trained.
        folder = Path(args.work_dir, "given") if args.checkpoints else Path(args.work_dir)
        entries = read_entries(configs, options, folder, training=training)
    check_work_dir(args.work_dir)
    check_target(out, "--out")
    failed: dict[str, str] = {}
    if training:
        failed = train_all(entries, jobs=args.jobs, overwrite=args.overwrite)
    checkpoints = require_checkpoints(entries, args.checkpoints, failed)
    failed |= score_all(entries, checkpoints, args.precision)
    rows = rows_of(entries, failed)
    print(text_table(rows, per_class=args.per_class))
    facts = {**shared_facts(entries, trained=training), **measured_facts(entries)}
    write_results(out, rows, facts, {entry.name: str(entry.config) for entry in entries})
    print(f"The page is {out}; beside it the table as .md, .csv and .json, and the plot as .svg.")
    return 1 if failed else 0
