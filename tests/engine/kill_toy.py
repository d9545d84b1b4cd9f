"""A program: kill the toy training twice with SIGKILL and compare its ends.

It forks its runs, so that torch is imported once. ``kill_toy.py FOLDER`` prints a line a kill and
exits with 1 if the end of a killed run isn't that of the run that was left in peace.
"""

import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path

import torch
import toy_training as toy
from conftest import KEYS, equal

from mmseg_gc.checkpoint import load_checkpoint


def fork(work_dir: Path, pause: float) -> int:
    """Start a run that goes on from the newest checkpoint; it is a process group of its own."""
    child = os.fork()
    if child:
        return child
    os.setsid()
    log = os.open(work_dir.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    status = 1
    try:
        waits = [toy.DoHook(lambda runner: time.sleep(pause), iteration=i) for i in range(1, 9)]
        toy.build(work_dir, 8, workers=1, hooks=[dict(type="EMAHook"), *waits]).train()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def finish(work_dir: Path) -> None:
    _, status = os.waitpid(fork(work_dir, 0), 0)
    assert status == 0, work_dir.with_suffix(".log").read_text()[-2000:]


def kill(work_dir: Path, moments: random.Random, while_saving: bool) -> str:
    run = fork(work_dir, pause=0.03)
    wanted = moments.randrange(1, 4)
    while len(list(work_dir.glob("iter_*.pth"))) < wanted:
        time.sleep(0.002)
    time.sleep(moments.uniform(0, 0.05))
    for _ in range(2000):
        if not while_saving or list(work_dir.glob(".*.pth.*")):
            break
        time.sleep(0.0002)
    found = list(work_dir.glob(".*.pth.*"))
    os.killpg(run, signal.SIGKILL)
    os.waitpid(run, 0)
    return "saving" if found else "not saving"


def main(folder: Path) -> int:
    torch.set_num_threads(1)
    moments = random.Random(0)
    finish(folder / "peace")
    peace = load_checkpoint(folder / "peace" / "iter_8.pth")
    wrong = 0
    for number in range(2):
        work_dir = folder / f"killed_{number}"
        work_dir.mkdir()
        what = kill(work_dir, moments, while_saving=number % 2 == 0)
        finish(work_dir)
        end = load_checkpoint(work_dir / "iter_8.pth")
        different = [key for key in KEYS if not equal(end[key], peace[key])]
        wrong += bool(different)
        print(f"killed while {what}: {different or 'identical'}")
    return wrong


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
