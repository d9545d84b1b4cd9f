"""What each technique of acceleration gives on a CPU, by switching it off alone."""

import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from mmseg_gc.cli import cli
from mmseg_gc.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
ALL = ""  # nothing is switched off


def parse_args():
    from inference_worker import IMAGES

    from mmseg_gc.arguments import ArgumentParser

    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--row", choices=IMAGES, default="whole", help="work, and its model")
    parser.add_argument("--config", default="", help="another model than the row's")
    parser.add_argument(
        "--without", nargs="+", metavar="TECHNIQUE", help="those alone, by how their names begin"
    )
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--rounds", type=int, default=5, help="times that each is asked")
    return parser.parse_args()


def chosen(beginnings: list[str] | None) -> list[str]:
    """The techniques whose names begin so; all for None."""
    from techniques_worker import TECHNIQUES

    names = list(TECHNIQUES)
    for word in beginnings or ():
        if not any(name.startswith(word) for name in names):
            raise UserError(f"--without {word}: no technique begins so; {'; '.join(names)}.")
    return [name for name in names if beginnings is None or name.startswith(tuple(beginnings))]


def start(stack: ExitStack, off: str, args, weights: Path):
    from side_by_side import Worker

    from mmseg_gc.config.find import find_config

    worker = stack.enter_context(Worker(off or "all", sys.executable, "techniques_worker", [ROOT]))
    worker.ask(
        "start",
        off=off,
        configs=str(ROOT / "configs/gcnet"),
        config=args.config and str(find_config(args.config)),
        weights=str(weights),
        precision=args.precision,
    )
    return worker


def logits(worker, folder: Path):
    import numpy as np

    worker.ask("save_logits", path=str(folder / "logits.npy"))
    return np.load(folder / "logits.npy")


def measure(workers: dict, args, folder: Path) -> list[list]:
    import numpy as np
    from measures import Peak
    from side_by_side import alternate, medians

    peaks = {}
    for off, worker in workers.items():
        loading = Peak(*worker.ask("load", row=args.row))
        peaks[off] = max(loading.whole, Peak(*worker.ask("memory")).whole) / 2**20
    seconds = medians(
        alternate(
            {off: partial(worker.ask, "seconds") for off, worker in workers.items()},
            args.rounds,
            lambda text: print(text, file=sys.stderr, flush=True),
        )
    )
    expected = logits(workers[ALL], folder)
    lines = []
    for off, worker in workers.items():
        apart = np.abs(logits(worker, folder) - expected).max() / np.abs(expected).max()
        ratios = (seconds[off] / seconds[ALL], peaks[off] / peaks[ALL])
        lines.append(
            [
                off or "(all on)",
                worker.ask("num_lines"),
                f"{seconds[off]:.2f} ({ratios[0]:.2f})",
                f"{peaks[off]:.0f} ({ratios[1]:.2f})",
                f"{apart:.1e}",
            ]
        )
    return lines


@cli
def main() -> None:
    args = parse_args()
    from compare_inference import make_weights
    from inference_worker import IMAGES
    from prettytable import PrettyTable

    from mmseg_gc.config.find import find_config

    techniques = chosen(args.without)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        weights = Path(folder) / "weights.pth"
        make_weights(find_config(args.config or IMAGES[args.row][0]), weights)
        workers = {off: start(stack, off, args, weights) for off in (ALL, *techniques)}
        lines = measure(workers, args, Path(folder))
    table = PrettyTable(
        ["without", "lines", "seconds (ratio)", "peak MiB (ratio)", "logits unlike those with all"]
    )
    table.add_rows(lines)
    print(f"{args.row}, {args.precision}")
    print(table)


if __name__ == "__main__":
    main()
