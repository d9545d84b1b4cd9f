"""Kill a training at random moments, go on, and compare the end with a run never stopped.

Trains a small model on drawn images, on the CPU unless --device says otherwise: once in peace,
and again and again with SIGKILL, every other time while a checkpoint is being written. Each killed
run is resumed with `--resume auto`, may be killed once more, and is then left to end. Weights,
momenta and averaged weights of the two ends have to be equal bit for bit. Exit status 1 if any
differ. A GPU doesn't always add in the same order: there runs may differ without a fault.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from mmseg_gc.checkpoint import load_checkpoint
from mmseg_gc.cli import cli

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "configs/gcnet/gcnet_r18-d8_1xb8-20k_camvid-360x480.py"
COMPARED = ("state_dict", "ema_state_dict", "optimizer", "param_schedulers", "resume_state")


PIPELINE = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(96, 72), keep_ratio=True),
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]
TRAIN_PIPELINE = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="RandomResize", scale=(96, 72), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=(64, 64), cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]


def draw_data(root: Path) -> None:
    """A CamVid folder of five images to train on and two to validate on, 72 x 96 pixels."""
    import cv2
    import numpy as np

    rng = np.random.default_rng(4)
    for split, count in (("train", 5), ("val", 2)):
        for folder in (split, f"{split}annot"):
            (root / folder).mkdir(parents=True)
        for number in range(count):
            label = cv2.resize(
                rng.integers(0, 12, (4, 6), np.uint8), (96, 72), interpolation=cv2.INTER_NEAREST
            )
            image = label[..., None] * 20 + rng.integers(0, 20, (72, 96, 3), np.uint8)
            cv2.imwrite(str(root / split / f"{number}.png"), image)
            cv2.imwrite(str(root / f"{split}annot" / f"{number}.png"), label)


def write_config(path: Path, data: Path, iterations: int, workers: int) -> None:
    """A run that takes seconds and yet has every part that keeps a state."""
    loaders = "\n".join(
        f"{split}_dataloader = dict(num_workers={workers}, persistent_workers={workers > 0}, "
        f"dataset=dict(data_root={str(data)!r}, pipeline={pipeline}))"
        for split, pipeline in (("train", TRAIN_PIPELINE), ("val", PIPELINE), ("test", PIPELINE))
    )
    path.write_text(
        f"""_base_ = {str(CONFIG)!r}
{loaders}
train_dataloader.update(batch_size=2)
model = dict(
    pretrained=None,
    data_preprocessor=dict(size=(64, 64)),
    backbone=dict(base_channels=8, stem_channels=8),
    decode_head=dict(in_channels=64, channels=32),
    auxiliary_head=dict(in_channels=32, channels=16),
)
train_cfg = dict(max_iters={iterations}, val_interval=6)
optim_wrapper = dict(accumulative_counts=2)
default_hooks = dict(
    checkpoint=dict(interval=3, max_keep_ckpts=3, save_best="mIoU"), logger=dict(interval=1)
)
custom_hooks = [dict(type="EMAHook")]
randomness = dict(seed=7)
"""
    )


class Moment(NamedTuple):
    """When to kill: so many iterations after a start, seconds later, then at the next save."""

    iteration: int
    delay: float
    saving: bool


def start(config: Path, work_dir: Path, log: Path) -> subprocess.Popen:
    command = [sys.executable, ROOT / "tools/train.py", config, "--work-dir", work_dir]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with log.open("ab") as output:
        return subprocess.Popen(
            [*map(str, command), "--resume", "auto", "--cfg-options", "screen=full"],
            cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip


def kill(run: subprocess.Popen, work_dir: Path, log: Path, moment: Moment) -> str:
    """SIGKILL to the run and its workers at ``moment``; what it was doing then."""

    def wait_for(reached: Callable[[], object]) -> None:
        while not reached() and run.poll() is None:
            time.sleep(0.001)

    begun = log.stat().st_size
    wait_for(lambda: log.read_bytes()[begun:].count(b"Iter(train)") >= moment.iteration)
    time.sleep(moment.delay)
    if moment.saving:
        wait_for(lambda: half_written(work_dir))
    iterations = log.read_bytes()[begun:].count(b"Iter(train)")
    what = "saving" if half_written(work_dir) else "not saving"
    if run.poll() is not None:
        return "already ended"
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    return f"{what}, {iterations} iterations after its start"


def half_written(work_dir: Path) -> list[Path]:
    return list(work_dir.glob(".*.pth.*"))


def finish(config: Path, work_dir: Path, log: Path) -> None:
    if start(config, work_dir, log).wait() != 0:
        raise SystemExit(f"a run failed; its output is in {log}.")


def equal(one: object, other: object) -> bool:
    """Whether two states are the same bit for bit."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


def differences(work_dir: Path, reference: Path, iterations: int) -> list[str]:
    """What the last checkpoints of two runs, and their best ones, don't have in common."""
    name = f"iter_{iterations}.pth"
    ours, theirs = load_checkpoint(work_dir / name), load_checkpoint(reference / name)
    found = [key for key in COMPARED if not equal(ours[key], theirs[key])]
    best, best_there = (
        {path.name: load_checkpoint(path)["state_dict"] for path in folder.glob("best_*.pth")}
        for folder in (work_dir, reference)
    )
    return found + ([] if equal(best, best_there) else ["best"])


def parse_args():
    from mmseg_gc.arguments import ArgumentParser

    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20, help="runs to kill")
    parser.add_argument("--iterations", type=int, default=20, help="iterations of a run")
    parser.add_argument("--workers", type=int, default=1, help="processes that load data")
    parser.add_argument("--seed", type=int, default=0, help="of the moments, not of the training")
    parser.add_argument(
        "--device", default="cpu", help="to train on: cpu, also where there is a GPU, or cuda:N"
    )
    parser.add_argument("--work-dir", type=Path, help="kept; a temporary folder if not given")
    return parser.parse_args()


@cli
def main() -> int:
    args = parse_args()
    from devices import choose_device, show_only

    # The trained processes take the first GPU that they see.
    os.environ.update(show_only(choose_device(args.device)))
    print(f"training on {args.device}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.work_dir or Path(temporary)
        data = folder / "data"
        if not data.exists():
            draw_data(data)
        config = folder / "config.py"
        write_config(config, data.resolve(), args.iterations, args.workers)
        moments = random.Random(args.seed)
        finish(config, folder / "peace", folder / "peace.log")
        good = 0
        for number in range(1, args.times + 1):
            work_dir, log = folder / f"killed_{number}", folder / f"killed_{number}.log"
            stops = []
            kills = 2 if number % 3 == 0 else 1
            for _ in range(kills):
                moment = Moment(
                    iteration=moments.randrange((args.iterations - 2) // kills),
                    delay=moments.uniform(0, 0.3),
                    saving=number % 2 == 0,
                )
                run = start(config, work_dir, log)
                stops.append(kill(run, work_dir, log, moment))
            finish(config, work_dir, log)
            wrong = differences(work_dir, folder / "peace", args.iterations)
            good += not wrong
            verdict = f"differs in {', '.join(wrong)}" if wrong else "identical"
            print(f"{number:3d}  killed {', and '.join(stops)}: {verdict}", flush=True)
        print(f"{good} of {args.times} identical")
    return int(good < args.times)


if __name__ == "__main__":
    main()
