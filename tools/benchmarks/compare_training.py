"""Compare training with mmsegmentation's: samples a second, step time and memory, asked in turn."""

import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from mmseg_gc.cli import cli
from mmseg_gc.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "configs/gcnet/gcnet_r50-d8_4xb2-40k_cityscapes-512x1024.py"
PARTS = ["data", "step", "memory"]
BASE = "mmseg fp32"
# mmsegmentation's mixed precision is for GPUs, and so is float16.
SIDES = {
    "cpu": [BASE, "mmseg_gc fp32", "mmseg_gc bf16"],
    "cuda": [
        f"{name} {kind}" for name in ("mmseg", "mmseg_gc") for kind in ("fp32", "bf16", "fp16")
    ],
}


def parse_args():
    from side_by_side import peer_parser

    parser = peer_parser(__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--data-root", type=Path, help="Cityscapes; default: scenes drawn here")
    parser.add_argument("--samples", type=int, default=40, help="samples that a round reads")
    parser.add_argument("--size", nargs=2, type=int, default=[256, 512], help="of the step: H W")
    parser.add_argument("--batch", type=int, default=2, help="images in a step")
    return parser.parse_args()


def start(stack: ExitStack, args, package: str, folder: Path, threads: int):
    from side_by_side import Worker

    ours = package == "mmseg_gc"
    worker = stack.enter_context(
        Worker(
            package,
            sys.executable if ours else str(args.peer),
            "training_worker",
            [ROOT] if ours else [],
        )
    )
    worker.ask(
        "start",
        package=package,
        config=str(CONFIG),
        work_dir=str(folder),
        threads=threads,
        device=str(args.device),
    )
    return worker


def run_tool(*command: object) -> None:
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]])}
    finished = subprocess.run(
        [sys.executable, *map(str, command)], env=env, capture_output=True, text=True
    )
    if finished.returncode:
        raise UserError(f"{command[0]} failed: {finished.stderr.strip().splitlines()[-1]}")


def prepare_data(args, folder: Path) -> tuple[Path, Path]:
    """The data set's root and its packed copy."""
    root = args.data_root
    if root is None:
        root = folder / "cityscapes"
        print("drawing 8 scenes of 2048 x 1024 …", flush=True)
        draw = ROOT / "tools/misc/draw_street_scenes.py"
        run_tool(draw, root, "--train", 8, "--val", 1, "--size", "1024x2048")
        run_tool(ROOT / "tools/convert_datasets/cityscapes.py", root)
    option = f"train_dataloader.dataset.data_root={root}"
    pack = ROOT / "tools/pack_dataset.py"
    run_tool(pack, CONFIG, "--out-dir", folder / "packed", "--cfg-options", option)
    return root, folder / "packed" / "train.pack"


def compare_data(args, folder: Path) -> list[list]:
    """Samples a second and core: the published pipeline from files, and from the packed copy."""
    from side_by_side import alternate, medians

    root, pack = prepare_data(args, folder)
    with ExitStack() as stack:
        sides = {
            "peer": (start(stack, args, "mmseg", folder, 1), None),
            "files": (start(stack, args, "mmseg_gc", folder, 1), None),
            "packed": (start(stack, args, "mmseg_gc", folder, 1), str(pack)),
        }
        for worker, packed in sides.values():
            more = {"packed": packed} if packed else {}
            worker.ask("open_data", root=str(root), **more)
            worker.ask("read", count=8, seed=0)  # warms caches
        found = medians(
            alternate(
                {
                    name: partial(worker.ask, "read", count=args.samples, seed=1)
                    for name, (worker, _) in sides.items()
                },
                args.rounds,
            )
        )
    return [
        ["samples/s a core", name, f"{1 / seconds:.2f}", f"{found['peer'] / seconds:.2f}"]
        for name, seconds in found.items()
    ]


def load(stack: ExitStack, args, side: str, folder: Path):
    package, precision = side.split()
    worker = start(stack, args, package, folder, os.cpu_count())
    worker.ask("load", size=args.size, batch=args.batch, precision=precision)
    return worker


def compare_steps(args, folder: Path) -> list[list]:
    """Seconds of a step, all sides loaded side by side."""
    from side_by_side import alternate, medians

    with ExitStack() as stack:
        workers = {side: load(stack, args, side, folder) for side in SIDES[args.device.type]}
        for worker in workers.values():
            worker.ask("step")  # the first one sets up kernels
        questions = {side: partial(worker.ask, "step") for side, worker in workers.items()}
        found = medians(alternate(questions, args.rounds))
    return [
        ["seconds a step", side, f"{seconds:.3f}", f"{found[BASE] / seconds:.2f}"]
        for side, seconds in found.items()
    ]


def compare_memory(args, folder: Path) -> list[list]:
    """What the first two steps take above the loaded model; each time in a fresh process."""
    from measures import Peak

    found: dict[str, list[Peak]] = {}
    for number in range(args.rounds):
        for side in SIDES[args.device.type]:
            with ExitStack() as stack:
                peak = Peak(*load(stack, args, side, folder).ask("memory", steps=2))
            found.setdefault(side, []).append(peak)
            print(f"round {number + 1} of {args.rounds}: {side} {peak}", flush=True)
    medians = {
        side: sorted(peaks, key=lambda peak: peak.above)[len(peaks) // 2]
        for side, peaks in found.items()
    }
    return [
        ["memory above the model", side, str(peak), f"{peak.above / medians[BASE].above:.2f}"]
        for side, peak in medians.items()
    ]


@cli
def main() -> None:
    args = parse_args()
    from devices import choose_device
    from prettytable import PrettyTable
    from side_by_side import check_peer

    args.peer = check_peer(args.peer)
    args.device = choose_device(args.device)
    height, width = args.size
    title = (
        f"R50-D8, {args.batch} x {height} x {width} on {args.device}, "
        f"medians of {args.rounds} rounds"
    )
    table = PrettyTable(["what", "side", "median", "beside mmseg fp32"], title=title, align="l")
    parts = {"data": compare_data, "step": compare_steps, "memory": compare_memory}
    with tempfile.TemporaryDirectory(prefix="training-") as folder:
        for part in args.parts:
            table.add_rows(parts[part](args, Path(folder)))
    print(table)


if __name__ == "__main__":
    main()
