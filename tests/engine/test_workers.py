"""A data loader's worker outlives what is sent to all processes of a job or terminal."""

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
