"""Compare inference with mmsegmentation's and runtimes': seconds, memory, labels, in one run."""

import statistics
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from mmseg_gc.cli import cli
from mmseg_gc.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
CONFIG = "gcnet_r50-d8_4xb2-40k_cityscapes-512x1024.py"
RUNTIMES = ("openvino", "onnxruntime")
BASE = "mmseg fp32"
PRECISIONS = ["fp32", "bf16", "fp16"]
SIDES = [f"{package} {precision}" for package in ("mmseg", "mmseg_gc") for precision in PRECISIONS]
SIDES += [
    f"{name} {kind}" for name in ("openvino", "onnxruntime") for kind in ("fp32", "bf16", "int8")
]


class Measured(NamedTuple):
    """One side's process: seconds of each round, bytes at the peak, share of pixels unlike."""

    seconds: list[float]
    memory: int | None
    differ: float | None


def parse_args():
    from side_by_side import peer_parser

    parser = peer_parser(__doc__)
    parser.add_argument("--rows", nargs="+", help="some of the rows only, such as whole slide")
    parser.add_argument(
        "--sides",
        nargs="+",
        choices=SIDES,
        help="some of the sides only, beside the first; default: all, on a CPU but those of fp16",
    )
    parser.add_argument(
        "--configs",
        nargs="+",
        metavar="CONFIG",
        help="other models than GCNet, labelling a 512x1024 image whole: names or files of configs",
    )
    parser.add_argument(
        "--processes",
        type=int,
        default=3,
        help="of each side for each row, one after the other: seconds and memory are their "
        "medians, since the peak and the state of the machine differ from one to the next",
    )
    parser.add_argument(
        "--clock",
        choices=("wall", "processor"),
        default="wall",
        help="processor: seconds of all threads of a side's process, for a machine that others "
        "use as well; set OMP_NUM_THREADS=1, since threads that wait for each other count",
    )
    parser.set_defaults(rounds=2)
    args = parser.parse_args()
    for name in ("processes", "rounds"):
        if getattr(args, name) < 1:
            raise UserError(f"--{name} {getattr(args, name)}: give 1 or more.")
    if args.clock == "processor" and args.device != "cpu":
        raise UserError("--clock processor is for CPUs; leave it out.")
    if args.configs and args.rows:
        raise UserError("--configs labels whole images, and --rows says how: leave one out.")
    cpu = args.device == "cpu"
    sides = args.sides or [side for side in SIDES if not (cpu and side.endswith("fp16"))]
    args.sides = [side for side in dict.fromkeys([BASE, *sides]) if not skipped(side, cpu=cpu)]
    return args


def skipped(side: str, *, cpu: bool) -> str:
    """Why ``side`` is left out, which is said as well; empty if it isn't."""
    name, precision = side.split()
    why = ""
    if name in RUNTIMES:
        missing = [one for one in ("onnx", "onnxscript", name) if find_spec(one) is None]
        missing += ["nncf"] if side == "openvino int8" and find_spec("nncf") is None else []
        if missing:
            why = f"{', '.join(missing)} not installed: pip install 'mmseg_gc[export]'"
        elif not cpu:
            why = "runtimes are compared on a CPU alone"
        elif side == "onnxruntime bf16":
            why = "ONNX Runtime's CPU provider has no arithmetic for it"
    if why:
        print(f"{side}: skipped ({why}).", file=sys.stderr)
    return why


def export(sides: list[str], config: Path, weights: Path, folder: Path) -> None:
    """Write the network of ``weights`` for the ``sides`` that are runtimes', to ``folder``.

    int8 is calibrated on drawn images: its time is right, and its labels are not.
    """
    from inference_worker import exported_name

    from mmseg_gc.apis import init_model
    from mmseg_gc.deploy.formats import OnnxFile, OpenVinoFiles, as_program, example
    from mmseg_gc.deploy.int8 import quantised
    from mmseg_gc.deploy.metadata import describe
    from mmseg_gc.deploy.network import ExportNetwork
    from mmseg_gc.deploy.samples import gate_samples

    model = init_model(config, weights, accelerate="none")
    network = ExportNetwork(model).eval()
    program = as_program(network, example(network, 3, None), is_static=False)
    facts = dict(weights="", weights_sha256="", shape=None, precision="fp32", opset=18)
    meta = describe(model, network, model.cfg, **facts)
    drawn, _ = gate_samples(model.cfg, [], 4, 3)
    images = [model.data_preprocessor.normalise(one.image[None]).numpy() for one in drawn]
    for side in sides:
        name, precision = side.split()
        onnx = OnnxFile.of(program, output="logits", opset=18)
        to = "onnx" if name == "onnxruntime" else "openvino"
        made = OpenVinoFiles.of(onnx) if to == "openvino" else onnx
        if precision == "int8":
            made = quantised(to, onnx, images, ())
        for align_corners in (False, True):
            path = folder / exported_name(side, align_corners=align_corners)
            made.save(path, {**meta, "align_corners": align_corners})


def make_weights(config: Path, path: Path) -> None:
    """Random weights and statistics for ``config``, from one seed."""
    import torch

    from mmseg_gc.apis import init_model
    from mmseg_gc.checkpoint import save_checkpoint

    torch.manual_seed(0)
    model = init_model(config)
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    save_checkpoint(dict(state_dict=model.state_dict(), meta={}), path)


def start(side: str, args, config: Path | None, weights: Path):
    from side_by_side import Worker

    package, precision = side.split()
    runtime = side if package in RUNTIMES else ""
    ours = package != "mmseg"
    package = "mmseg_gc" if ours else package
    python = sys.executable if ours else str(args.peer)
    worker = Worker(side, python, "inference_worker", [ROOT] if ours else [])
    worker.ask(
        "start",
        package=package,
        precision=precision,
        device=args.device,
        configs=str(ROOT / "configs/gcnet"),
        config=str(config or ""),
        weights=str(weights),
        runtime=runtime,
        clock=args.clock,
    )
    return worker


def share_that_differs(workers: dict, folder: Path) -> dict[str, float]:
    import numpy as np

    maps = {}
    for side, worker in workers.items():
        worker.ask("save_labels", path=str(folder / "labels.npy"))
        maps[side] = np.load(folder / "labels.npy")
    reference = maps[BASE]
    return {side: float((labels != reference).mean()) for side, labels in maps.items()}


def chosen_rows(args) -> list[str]:
    from inference_worker import IMAGES, SCORES

    known = [*IMAGES, *SCORES]
    chosen = ["whole"] if args.configs else args.rows or known
    for row in chosen:
        if row not in known:
            raise UserError(f"--rows: there is no {row!r}; choose from {', '.join(known)}.")
    return chosen


def measure(row: str, sides: dict, args, folder: Path) -> dict[str, Measured]:
    """What one process of each side takes."""
    from inference_worker import IMAGES
    from measures import Peak
    from side_by_side import alternate

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    image = row in IMAGES
    loading = {}
    for side, worker in sides.items():
        say(f"{row}: loading {side}")
        loading[side] = worker.ask("load" if image else "load_scores", row=row)
    question = "seconds" if image else "counted_seconds"
    asked = {side: partial(worker.ask, question) for side, worker in sides.items()}
    # Taken first, which warms up as well.
    memory = {side: Peak(*w.ask("memory")) for side, w in sides.items()} if image else {}
    # All that is held at one time, while the model is made ready as well.
    whole = {s: max(Peak(*loading[s]).whole, peak.whole) for s, peak in memory.items()}
    seconds = alternate(asked, args.rounds, say)
    differ = share_that_differs(sides, folder) if image else {}
    return {side: Measured(seconds[side], whole.get(side), differ.get(side)) for side in sides}


def table_lines(row: str, processes: list[dict[str, Measured]]) -> list[list]:
    """A row's lines, of medians of all processes."""

    def median(side: str, name: str) -> float | None:
        found = [getattr(process[side], name) for process in processes]
        return None if None in found else statistics.median(found)

    # Of each process first: one that is slow in all of its rounds counts once.
    processes = [
        {side: one._replace(seconds=statistics.median(one.seconds)) for side, one in found.items()}
        for found in processes
    ]
    base, base_memory = median(BASE, "seconds"), median(BASE, "memory")
    lines = []
    for side in processes[0]:
        value, whole, differ = (median(side, name) for name in Measured._fields)
        used = "" if whole is None else f"{whole / 2**20:.0f} MiB ({whole / base_memory:.2f})"
        share = "" if differ is None else f"{differ:.4%}"
        lines.append([row, side, f"{value:.3f}", f"{base / value:.2f}x", used, share])
    return lines


def compare(config: Path, args) -> list[list]:
    """The lines of all sides with one config's model.

    Each side has processes of its own for each row: a model that is loaded while the one before it
    still is there takes its memory too.
    """
    from inference_worker import IMAGES

    rows = chosen_rows(args)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.pth"
        make_weights(config, weights)
        runtimes = [side for side in args.sides if side.split()[0] in RUNTIMES]
        if runtimes:
            export(runtimes, config, weights, Path(folder))
        lines = []
        own = config if args.configs else None
        for row in rows:
            sides = args.sides
            if row not in IMAGES:
                sides = [side for side in sides if side in ("mmseg fp32", "mmseg_gc fp32")]
            processes = []
            for _ in range(args.processes):
                with ExitStack() as stack:
                    workers = {
                        side: stack.enter_context(start(side, args, own, weights)) for side in sides
                    }
                    processes.append(measure(row, workers, args, Path(folder)))
            lines += table_lines(row, processes)
        return lines


@cli
def main() -> None:
    args = parse_args()
    from devices import choose_device
    from prettytable import PrettyTable
    from side_by_side import check_peer

    from mmseg_gc.config.find import find_config

    args.peer = check_peer(args.peer)
    args.device = str(choose_device(args.device))
    lines = []
    for config in [find_config(name) for name in args.configs or [CONFIG]]:
        found = compare(config, args)
        lines += [[config.stem, *line[1:]] for line in found] if args.configs else found
        print(*lines[-len(found) :], sep="\n", file=sys.stderr, flush=True)
    table = PrettyTable(
        [
            "model" if args.configs else "work",
            "side",
            "seconds",
            "ratio",
            "peak of all memory, preparing included (share)",
            "pixels unlike mmseg fp32",
        ]
    )
    table.add_rows(lines)
    print(table)


if __name__ == "__main__":
    main()
