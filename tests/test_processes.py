import os
import signal
import subprocess
import sys
import time
from pathlib import Path

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


RANK = """
import os, sys, time
if sys.argv[1] == "late": time.sleep(0.3)
from mmseg_gc.processes import end_with_launcher
end_with_launcher()
open("ready", "w").close()
time.sleep(60)
"""
LAUNCHER = """
import os, subprocess, sys, time
os.environ["MMSEG_GC_LAUNCHER"] = str(os.getpid())
rank = subprocess.Popen([sys.executable, "rank.py", sys.argv[1]], start_new_session=True)
print(rank.pid, flush=True)
time.sleep(60)
"""


def is_running(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="the system tells it on Linux alone")
@pytest.mark.parametrize(("when", "told"), [("early", True), ("late", True), ("early", False)])
def test_a_rank_ends_with_its_launcher(tmp_path, when, told):
    """Also where that died before it could ask for it; and only what torchrun started does."""
    (tmp_path / "rank.py").write_text(RANK)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    environment.pop("TORCHELASTIC_RUN_ID", None)
    environment |= dict(TORCHELASTIC_RUN_ID="x") if told else {}
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, when],
        cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    rank = int(launcher.stdout.readline())
    end = time.monotonic() + 20
    while when == "early" and not (tmp_path / "ready").exists() and time.monotonic() < end:
        time.sleep(0.01)
    launcher.kill()
    launcher.wait()
    launcher.stdout.close()
    end = time.monotonic() + (20 if told else 0.2)
    while is_running(rank) and time.monotonic() < end:
        time.sleep(0.01)
    assert is_running(rank) != told
    assert (tmp_path / "ready").exists() == (when == "early")
    if not told:
        os.kill(rank, signal.SIGKILL)
