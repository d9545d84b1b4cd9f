"""Plot curves of one or several trainings into one image."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmseg_gc.cli.command import cli
from mmseg_gc.errors import UserError


def parse_args(arguments: Sequence[str] | None) -> argparse.Namespace:
    from mmseg_gc.arguments import ArgumentParser

    parser = ArgumentParser(
        description=__doc__,
        command="curves",
        example="mmseg_gc curves runs/first runs/second --keys loss mIoU --out curves.png",
    )
    parser.add_argument("logs", nargs="+", type=Path, help="work dirs, or scalars.json files")
    parser.add_argument(
        "--keys", nargs="+", default=["loss", "mIoU"], help="what to plot, one below the other"
    )
    parser.add_argument("--legend", nargs="+", help="a name for each log; default: its folder's")
    parser.add_argument("--title", help="stands above the image")
    for name, text in (("backend", "windows"), ("style", "looks")):
        parser.add_argument(f"--{name}", help=f"of matplotlib's {text}; taken, and without effect")
    parser.add_argument("--out", type=Path, default=Path("curves.png"), help=".png, .svg or .pdf")
    return parser.parse_args(arguments)


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    from mmseg_gc.visualization.curves import draw_curves, read_log

    names = args.legend or [path.resolve().name for path in args.logs]
    if len(names) != len(args.logs):
        raise UserError(f"--legend has {len(names)} names for {len(args.logs)} logs.")
    if len(set(names)) < len(names):
        names = [str(path) for path in args.logs]
    runs = {name: read_log(path) for name, path in zip(names, args.logs, strict=True)}
    draw_curves(runs, args.keys, args.title, args.out)
    for name, curves in runs.items():
        for key in args.keys:
            if key in curves:
                last = max(curves[key])
                best = max(curves[key], key=curves[key].__getitem__)
                print(
                    f"{name}: {key} {curves[key][last]:.4g} at {last}, "
                    f"highest {curves[key][best]:.4g} at {best}"
                )
    print(f"Curves are in {args.out}.")
