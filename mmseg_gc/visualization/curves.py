"""The curves of trainings, from their logs."""

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from mmseg_gc.atomic import put
from mmseg_gc.errors import UserError

Curves = dict[str, dict[int, float]]


def has_log(work_dir: Path) -> bool:
    """Whether a run has logged numbers under ``work_dir``."""
    return next(work_dir.rglob("scalars.json"), None) is not None


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


def draw_curves(runs: dict[str, Curves], keys: Sequence[str], title: str | None, out: Path) -> None:
    """Draw ``keys``, one below the other, with a line for every run that has them.

    Raises:
        UserError: no run has a key.
    """
    from matplotlib.figure import Figure

    for key in keys:
        if not any(key in curves for curves in runs.values()):
            known = sorted({name for curves in runs.values() for name in curves})
            raise UserError(f"no log has {key!r}; logged are {', '.join(known)}.")
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
        figure.savefig(content := BytesIO(), format=out.suffix[1:] or "png", dpi=120)
    except ValueError as error:  # a suffix that matplotlib can't write
        raise UserError(f"{out} can't be written: {error}.") from error
    put(content.getvalue(), str(out))
