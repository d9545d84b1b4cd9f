import os
import signal
import subprocess
import sys
import time

import cv2
import pytest

from mmseg_gc.processes import process_pool


def state(_: int) -> tuple[int, int, bool]:
    return os.getppid(), cv2.getNumThreads(), signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_processes_are_not_forked_from_this_one():
    with process_pool(1) as pool:
        (parent, threads, ignores), _ = pool.map(state, [1, 2])
    assert parent != os.getpid()
    assert (threads, ignores) == (1, True)


PARENT = """
import os, sys, time
from mmseg_gc.processes import process_pool
if __name__ == "__main__":
    pool = process_pool(1)
    print(pool.submit(os.getpid).result(), flush=True)
    time.sleep(60)
"""


def test_a_killed_parent_takes_its_processes_along(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        worker = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("the worker goes on without its parent")
