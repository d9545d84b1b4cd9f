"""Fetch the published weights, test them here, and print published and measured side by side.

Each row of configs/gcnet/metafile.yaml names its config, its weights' address and its figures. A
row that can't be measured is listed with the reason while the others go on. The exit status is 1 if
a requested row failed or its mIoU differs by more than the tolerance.
"""

import argparse
import fnmatch
import json
import math
import os
import re
import sys
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from mmseg_gc.cli import cli
from mmseg_gc.errors import UserError, user_sentence

ROOT = Path(__file__).resolve().parents[1]
METAFILE = ROOT / "configs/gcnet/metafile.yaml"
SCORES = ("mIoU", "mIoU(ms+flip)")
MEMORY = "Memory (GB)"
SPEED = "Images per Second (V100)"


@dataclass
class Row:
    """A published model; figures go by the metafile's names, those not published are missing."""

    name: str
    config: str
    weights: str
    published: dict[str, float]
    measured: dict[str, float] = field(default_factory=dict)
    error: str | None = None

    def difference(self, score: str) -> float | None:
        if score not in self.measured or score not in self.published:
            return None
        return round(self.measured[score] - self.published[score], 2)


def parse_args() -> argparse.Namespace:
    from mmseg_gc.arguments import ArgumentParser

    parser = ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rows", nargs="+", metavar="NAME", default=["*"], help="config names, or globs of them"
    )
    parser.add_argument("--list", action="store_true", help="print the published rows and stop")
    parser.add_argument(
        "--data-root", default="data", help="folder of the data sets, as data/README.md lays it out"
    )
    parser.add_argument("--cache", help="folder for the weights; default: torch's hub folder")
    parser.add_argument(
        "--base-url", metavar="URL", help="another host, which has the weights at the same paths"
    )
    parser.add_argument(
        "--device", help="cpu, cuda or cuda:N; default: the first GPU, else the CPU"
    )
    parser.add_argument(
        "--limit",
        type=int,
        metavar="N",
        help="test the first N images only: shows that a row runs, and judges no difference",
    )
    parser.add_argument("--skip-aug", action="store_true", help="leave out multi-scale + flip")
    parser.add_argument(
        "--tolerance", type=float, default=0.05, help="mIoU that a row may differ by"
    )
    parser.add_argument("--json", metavar="FILE", help="write the figures there, after every row")
    parser.add_argument("--work-dir", default="work_dirs/verify_zoo", help="folder for the logs")
    parser.add_argument("--metafile", default=METAFILE, help="file with other rows to check")
    return parser.parse_args()


def read_rows(metafile: str | Path) -> list[Row]:
    """The rows of a metafile.

    Raises:
        UserError: the file is missing, is no YAML, or a row lacks something.
    """
    import yaml

    try:
        models = yaml.safe_load(Path(metafile).read_text())["Models"]
        return [_row(model) for model in models]
    except OSError as error:
        raise UserError(
            f"--metafile {metafile} can't be read ({error.strerror}); check the path."
        ) from error
    except (yaml.YAMLError, KeyError, IndexError, TypeError) as error:
        raise UserError(
            f"--metafile {metafile} is no list of models ({error!r}): write it like "
            "configs/gcnet/metafile.yaml."
        ) from error


def _row(model: dict) -> Row:
    published = dict(model["Results"][0]["Metrics"])
    published |= {
        key: model["Metadata"][key] for key in (MEMORY, SPEED) if key in model["Metadata"]
    }
    return Row(model["Name"], model["Config"], model["Weights"], published)


def choose_rows(rows: list[Row], patterns: list[str]) -> list[Row]:
    """The rows whose name fits a pattern, in the metafile's order.

    Raises:
        UserError: a pattern fits no row.
    """
    patterns = [pattern.removesuffix(".py") for pattern in patterns]
    for pattern in patterns:
        if not any(fnmatch.fnmatch(row.name, pattern) for row in rows):
            names = ", ".join(row.name for row in rows)
            raise UserError(f"--rows {pattern} fits no row; there are {names}.")
    return [row for row in rows if any(fnmatch.fnmatch(row.name, p) for p in patterns)]


def choose_device(name: str | None) -> None:
    """Let torch see the device called ``name`` alone; to be called before torch is imported."""
    if name is None:
        return
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise UserError(f"--device {name}: choose cpu, cuda or cuda:N.")
    if name == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        return
    if ":" in name:
        index = int(name.split(":")[1])
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        chosen = [str(index)] if visible is None else visible.split(",")[index : index + 1]
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(chosen)
    import torch

    if not torch.cuda.is_available():
        raise UserError(f"--device {name}: torch finds no such GPU; pass --device cpu.")


def device_name() -> str:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"CPU, {torch.get_num_threads()} threads"


def measure(row: Row, args: argparse.Namespace) -> None:
    """Fill in ``row.measured``, what is cheap to find missing first."""
    sys.path.insert(0, str(ROOT / "tools/benchmarks"))
    from zoo_measure import release_memory, require_data, row_config, run_test, training_memory

    from mmseg_gc.checkpoint.download import download
    from mmseg_gc.engine.work_dir import check_work_dir

    work_dir = Path(args.work_dir) / row.name
    check_work_dir(work_dir)
    cfg = row_config(
        ROOT / row.config, data_root=Path(args.data_root), work_dir=work_dir, limit=args.limit
    )
    require_data(cfg)
    weights = download(address(row.weights, args.base_url), args.cache)
    row.measured[MEMORY] = round(training_memory(cfg), 2)
    for score in SCORES[:1] if args.skip_aug else SCORES:
        release_memory()
        scores = run_test(cfg, weights, aug_test=score != "mIoU")
        row.measured[score] = scores.miou
        if score == "mIoU" and not math.isnan(scores.images_per_second):
            row.measured[SPEED] = round(scores.images_per_second, 2)


def address(weights: str, base_url: str | None) -> str:
    return weights if base_url is None else base_url.rstrip("/") + urlsplit(weights).path


def reason(error: Exception) -> str:
    """One sentence on why a row failed; a fault of the program shows its traceback as well."""
    sentence = user_sentence(error)
    if sentence is None:
        traceback.print_exception(error)
        lines = str(error).strip().splitlines() or [""]
        sentence = f"{type(error).__name__}: {lines[0]}"
    return sentence


def judge(row: Row, tolerance: float) -> None:
    """Set ``row.error`` if a score is further from the published one than ``tolerance``."""
    for score in SCORES:
        difference = row.difference(score)
        # NaN, of a split without labels, is not near anything either.
        if difference is not None and not abs(difference) <= tolerance + 1e-9:
            row.error = (
                f"{score} differs by {difference:+.2f}: tools/test.py {row.config} with the same "
                f"weights{' and --aug-test' if score != 'mIoU' else ''} shows which classes."
            )
            return


def table(rows: list[Row]) -> str:
    from prettytable import PrettyTable

    heads = ["row", "mIoU", "", "", "ms+flip", "", "", "train GB", "", "images/s", ""]
    parts = ["", *2 * ["published", "here", "diff"], *2 * ["V100", "here"]]
    lines = PrettyTable(header=False, align="r")
    lines.add_row(heads)
    lines.add_row(parts, divider=True)
    lines.align["Field 1"] = "l"
    for row in rows:
        cells = []
        for score in SCORES:
            cells += [_cell(figures.get(score)) for figures in (row.published, row.measured)]
            cells.append(_cell(row.difference(score), "+.2f"))
        for column in (MEMORY, SPEED):
            cells += [_cell(figures.get(column)) for figures in (row.published, row.measured)]
        lines.add_row([row.name, *cells])
    return lines.get_string()


def _cell(value: float | None, form: str = ".2f") -> str:
    return "-" if value is None else format(value, form)


def write_json(rows: list[Row], path: str, device: str, limit: int | None) -> None:
    from mmseg_gc.atomic import write_atomically

    text = json.dumps(
        dict(device=device, limit=limit, rows=[asdict(row) for row in rows]), indent=2
    )
    write_atomically(path, lambda file: file.write(text.encode()))


@cli
def main() -> int:
    args = parse_args()
    rows = choose_rows(read_rows(args.metafile), args.rows)
    if args.list:
        print(table(rows))
        return 0
    if args.limit is not None and args.limit < 1:
        raise UserError(f"--limit {args.limit}: give a number of images from 1 on.")
    choose_device(args.device)
    device = device_name()
    for number, row in enumerate(rows, 1):
        print(f"[{number}/{len(rows)}] {row.name}", file=sys.stderr)
        try:
            measure(row, args)
        except Exception as error:  # whatever it is, the other rows are worth having
            row.error = reason(error)
        else:
            if args.limit is None:
                judge(row, args.tolerance)
        if args.json:
            write_json(rows, args.json, device, args.limit)
    print(table(rows))
    print(f"published: mmsegmentation on V100; here: {device}")
    if args.limit:
        print(f"--limit {args.limit}: scores of the first images only; differences don't count.")
    failed = [row for row in rows if row.error]
    for row in failed:
        print(f"{row.name}: {row.error}")
    return 1 if failed else 0


if __name__ == "__main__":
    main()
