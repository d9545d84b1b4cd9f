"""Test a segmentor and write a page on it, or compare the runs of two such pages' folders."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmseg_gc.cli.command import cli


def parse_args(arguments: Sequence[str] | None) -> argparse.Namespace:
    from mmseg_gc.arguments import CHECKPOINT_HELP, run_parser

    parser = run_parser(
        __doc__,
        command="report",
        example="mmseg_gc report own.py work_dirs/own/iter_2000.pth -o report.html\n"
        "  mmseg_gc report reports/first reports/second -o both.html",
    )
    parser.add_argument("checkpoint", help=CHECKPOINT_HELP)
    parser.add_argument("-o", "--out", default="report.html", help="the page; default: report.html")
    parser.add_argument(
        "--aug-test", "--tta", action="store_true", help="average over scales and flips"
    )
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="fp32")
    parser.add_argument("--batch-size", type=int, help="images at once, of one size")
    return parser.parse_args(arguments)


def compare(args: argparse.Namespace) -> None:
    from mmseg_gc.report import write_comparison

    mean, *classes = write_comparison(args.config, args.checkpoint, args.out)
    for row in (mean, *(row for row in classes if row.certain)):
        print(f"{row.name}: {row.middle:+.2f} points ({row.low:+.2f} to {row.high:+.2f})")
    print(f"The comparison is {args.out}.")


def test(args: argparse.Namespace) -> None:
    from mmseg_gc.arguments import run_config, spread_over_gpus
    from mmseg_gc.config.prediction import prepare_test
    from mmseg_gc.deploy import is_exported, run_exported
    from mmseg_gc.engine.console import quiet_screen, tell_briefly
    from mmseg_gc.engine.runner import SegRunner
    from mmseg_gc.engine.work_dir import check_work_dir
    from mmseg_gc.report import request_report, tell_of_report

    quiet_screen()
    cfg = run_config(args)
    prepare_test(cfg, args.checkpoint, aug_test=args.aug_test, precision=args.precision)
    if is_exported(args.checkpoint):
        run_exported(cfg, args.checkpoint, precision=args.precision)
    if args.batch_size is not None:
        cfg.test_dataloader.batch_size = args.batch_size
    options = dict(config=args.config, checkpoint=args.checkpoint, option="--out")
    request_report(cfg, args.out, **options)
    tell_briefly(cfg, args.config)
    spread_over_gpus(args)
    check_work_dir(cfg.work_dir)
    runner = SegRunner.from_cfg(cfg)
    runner.trust_pickle = args.trust_pickle
    runner.test()
    tell_of_report(cfg, args.out)


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    first = Path(args.config)
    if first.is_dir() or first.suffix.lower() in (".html", ".htm"):
        compare(args)
    else:
        test(args)


if __name__ == "__main__":
    main()
