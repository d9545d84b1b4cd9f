"""What becomes of a job of several processes that is stopped, or of which one ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.api import ProcessFailure
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from mmseg_gc.cli import launch

ROOT = Path(__file__).parents[2]
RANK = """
import os, signal, sys, time
from mmseg_gc.processes import end_with_launcher
end_with_launcher()
def note(number, frame):
    open(f"noted-{os.environ['RANK']}-{number}", "w").close()
    if sys.argv[1] != "slow": sys.exit(128 + number)
for number in (signal.SIGINT, signal.SIGTERM): signal.signal(number, note)
open(f"{os.getpid()}.started", "w").close()
if sys.argv[1] == "fails" and os.environ["RANK"] == "1": sys.exit(7)
while True: time.sleep(0.01)
"""


@pytest.fixture
def ends(monkeypatch, capsys):
    """``ends(ERROR)`` is the exit status and the errors where torchrun ends by ``ERROR``."""
    monkeypatch.setenv(launch.LAUNCHER_VARIABLE, "")
    monkeypatch.setenv("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "")

    def run(error: BaseException | None) -> tuple[int, str]:
        def torchrun(arguments):
            assert arguments == [f"--signals-to-handle={launch.SIGNALS}", "--standalone", "t.py"]
            assert os.environ[launch.LAUNCHER_VARIABLE] == str(os.getpid())
            if error is not None:
                raise error

        monkeypatch.setattr(launch.torchrun, "main", torchrun)
        monkeypatch.setattr(sys, "argv", ["launch", "--standalone", "t.py"])
        with pytest.raises(SystemExit) as stopped:
            launch.main()
        return stopped.value.code, capsys.readouterr().err

    yield run
    signal.set_wakeup_fd(-1)


def failed(code: int) -> ChildFailedError:
    failure = ProcessFailure(local_rank=1, pid=4321, exitcode=code, error_file="none")
    return ChildFailedError("train.py", {1: failure})


def test_the_exit_status_is_that_of_the_ranks(ends):
    assert ends(None) == (0, "")
    assert ends(SignalException("", signal.SIGINT)) == (130, "")
    assert ends(failed(143)) == (143, "")  # saved at a signal, and said so
    assert ends(failed(3)) == (3, "Rank 1 (process 4321) ended by exit status 3.\n")
    assert ends(failed(-9)) == (137, "Rank 1 (process 4321) ended by SIGKILL.\n")


def test_what_is_wrong_with_the_launch_is_one_sentence(ends):
    error = type("DistNetworkError", (RuntimeError,), {})("EADDRINUSE")
    status, err = ends(error)
    assert status == 1 and err.startswith("Error: port 29500 is taken")


@pytest.fixture
def job(tmp_path):
    """``job("slow")`` starts two ranks; when it returns, both have set up their signals."""
    (tmp_path / "rank.py").write_text(RANK)
    started = []

    def start(how: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "mmseg_gc.cli.launch", "--standalone"]
        process = subprocess.Popen(
            [*command, "--nproc_per_node=2", "rank.py", how],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        wait_for(lambda: len(list(tmp_path.glob("*.started"))) == 2)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
    for path in tmp_path.glob("*.started"):
        if lives(int(path.stem)):
            os.kill(int(path.stem), signal.SIGKILL)


def wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def all_ended(folder: Path) -> bool:
    return not any(lives(int(path.stem)) for path in folder.glob("*.started"))


linux = pytest.mark.skipif(sys.platform != "linux", reason="the system tells it on Linux alone")


@pytest.mark.slow
def test_ctrl_c_reaches_the_ranks_and_ends_the_job(job, tmp_path):
    process = job("quick")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err
    assert {path.name for path in tmp_path.glob("noted-*")} == {"noted-0-2", "noted-1-2"}
    assert all_ended(tmp_path)


@linux
@pytest.mark.slow
def test_a_second_ctrl_c_kills_ranks_that_take_their_time(job, tmp_path):
    process = job("slow")
    process.send_signal(signal.SIGINT)
    wait_for(lambda: len(list(tmp_path.glob("noted-*-2"))) == 2)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err
    assert all_ended(tmp_path)


@linux
@pytest.mark.slow
def test_ranks_are_told_that_their_launcher_was_killed(job, tmp_path):
    process = job("quick")
    process.kill()
    wait_for(lambda: all_ended(tmp_path), 20)
    assert {path.name for path in tmp_path.glob("noted-*")} == {"noted-0-15", "noted-1-15"}


@pytest.mark.slow
def test_a_rank_that_fails_ends_the_job_with_its_status(job, tmp_path):
    process = job("fails")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 7 and "Traceback" not in err
    assert "Rank 1 (process" in err and "ended by exit status 7." in err
    assert all_ended(tmp_path)
