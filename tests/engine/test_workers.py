"""A data loader's worker outlives what is sent to all processes of a job or terminal."""

import multiprocessing
import os
import signal
import time

import pytest

from mmseg_gc.engine.workers import start_worker


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1, signal.SIGTERM])
def test_only_the_parent_ends_a_worker(number):
    (there, say), (go, on) = os.pipe(), os.pipe()
    if (child := os.fork()) == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        start_worker(0, 1, 0, seed=None)
        os.write(say, b"1")
        os.read(go, 1)
        os._exit(7)
    os.read(there, 1)
    if (other := os.fork()) == 0:  # slurm, or a terminal
        os.kill(child, number)
        os._exit(0)
    os.waitpid(other, 0)
    time.sleep(0.05)
    os.write(on, b"1")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_processes_of_a_runner_s_loaders_end_with_its_run(toy, tmp_path):
    """Left to the garbage collector, each of them took five seconds."""
    persistent = {"val_dataloader.num_workers": 1, "val_dataloader.persistent_workers": True}
    during = []
    look = toy.DoHook(lambda runner: during.append(len(multiprocessing.active_children())))
    before = len(multiprocessing.active_children())
    runner = toy.build(tmp_path / "run", 4, workers=1, val_interval=2, **persistent)
    runner.register_hook(look)
    runner.train()
    assert during == [before + 2]
    assert len(multiprocessing.active_children()) == before
    assert runner.val()["mIoU"] == 1.0  # by a new one
    assert len(multiprocessing.active_children()) == before
