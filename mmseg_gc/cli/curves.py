"""Plot curves of one or several trainings into one picture."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from mmseg_gc.cli.command import cli
from mmseg_gc.errors import UserError

Curves = dict[str, dict[int, float]]


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
    parser.add_argument("--title", help="stands above the picture")
    parser.add_argument("--out", type=Path, default=Path("curves.png"), help=".png, .svg or .pdf")
    return parser.parse_args(arguments)


def read_log(path: Path) -> Curves:
    """The numbers logged under ``path`` by key and iteration.

    A work dir has a log for every start; what a resumed run repeats takes the place of what the
    stopped one had logged. A line that was cut off by a kill is left out.

    Raises:
        UserError: there is no log, or it holds no line of numbers.
    """
    files = sorted(path.rglob("scalars.json")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise UserError(f"{path} has no scalars.json; name a work dir of tools/train.py.")
    curves: Curves = {}
    for file in files:
        for line in file.read_text().splitlines():
            for key, value in _entries(line):
                curves.setdefault(key, {})[value[0]] = value[1]
    if not curves:
        raise UserError(f"{path} has no logged numbers; it may have been stopped too early.")
    return curves


def _entries(line: str) -> list[tuple[str, tuple[int, float]]]:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError:
        return []
    if not isinstance(entry, dict) or "step" not in entry:
        return []
    numbers = {key: value for key, value in entry.items() if isinstance(value, int | float)}
    step = int(numbers.pop("step"))
    numbers.pop("iter", None)
    return [(key, (step, float(value))) for key, value in numbers.items()]


def plot(runs: dict[str, Curves], keys: Sequence[str], title: str | None, out: Path) -> None:
    """Draw ``keys``, one below the other, with a line for every run that has them.

    Raises:
        UserError: no run has a key.
    """
    from matplotlib.figure import Figure

    for key in keys:
        if not any(key in curves for curves in runs.values()):
            known = sorted({name for curves in runs.values() for name in curves})
            raise UserError(f"--keys {key}: no log has it; logged are {', '.join(known)}.")
    figure = Figure(figsize=(9, 3.2 * len(keys)), layout="constrained")
    for axes, key in zip(figure.subplots(len(keys), squeeze=False)[:, 0], keys, strict=True):
        for name, curves in runs.items():
            if key in curves:
                steps = sorted(curves[key])
                mark = "o-" if len(steps) < 40 else "-"
                values = [curves[key][step] for step in steps]
                axes.plot(steps, values, mark, markersize=3, linewidth=1.2, label=name)
        axes.set(xlabel="iteration", ylabel=key)
        axes.grid(alpha=0.3)
        axes.legend()
    if title:
        figure.suptitle(title)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out, dpi=120)
    except (OSError, ValueError) as error:  # matplotlib: a suffix that it can't write
        raise UserError(f"--out {out} can't be written: {error}.") from error


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    names = args.legend or [path.resolve().name for path in args.logs]
    if len(names) != len(args.logs):
        raise UserError(f"--legend has {len(names)} names for {len(args.logs)} logs.")
    if len(set(names)) < len(names):
        names = [str(path) for path in args.logs]
    runs = {name: read_log(path) for name, path in zip(names, args.logs, strict=True)}
    plot(runs, args.keys, args.title, args.out)
    for name, curves in runs.items():
        for key in args.keys:
            if key in curves:
                last = max(curves[key])
                best = max(curves[key], key=curves[key].get)
                print(
                    f"{name}: {key} {curves[key][last]:.4g} at {last}, "
                    f"highest {curves[key][best]:.4g} at {best}"
                )
    print(f"Curves are in {args.out}.")
