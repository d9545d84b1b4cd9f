"""Kills, disks that are full or can't be written, files that get too large, and two at once.

Whatever happens, what bears its name is whole, a run that can't do its work says so in one
sentence, and the same command again makes up for the rest.
"""

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

JOBS = ("train", "test", "predict", "convert", "pack")
# The quick ones; all others are slow.
QUICK = {("train", "EFBIG"), ("predict", "kill")}


def jobs(fault: str) -> list:
    return [
        pytest.param(kind, marks=() if (kind, fault) in QUICK else pytest.mark.slow)
        for kind in JOBS
    ]


def assert_told(status: int, log: str) -> None:
    """One sentence for the person, and no traceback."""
    assert status == 1 and "Traceback" not in log, log[-3000:]
    told = [line for line in log.splitlines() if line.startswith("Error: ")]
    assert len(told) == 1, log[-3000:]


def complete(job) -> None:
    """The same command again, without a fault, does the rest and leaves nothing half-written."""
    status, log = job.run(*job.resumes)
    assert status == 0, log[-3000:]
    assert len(job.results()) == job.num_results
    assert job.half_written() == []


@pytest.mark.parametrize("kind", jobs("kill"))
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_kill_at_any_moment(job, kind, number):
    if number == signal.SIGTERM and kind == "predict":
        pytest.skip("as SIGKILL, which is the quick one")
    moments = random.Random(f"{kind}{number}")
    work = job(kind)
    begun = time.monotonic()
    assert work.run()[0] == 0
    whole = time.monotonic() - begun
    for _ in range(1 if kind == "predict" else 4):
        shutil.rmtree(work.out)
        running = work.start()
        time.sleep(moments.uniform(0.1, 0.9) * whole)
        running.kill(number)
        status, _ = running.end()
        assert status in (0, -number, 128 + number)
        assert len(work.results()) <= work.num_results
        complete(work)


@pytest.mark.parametrize("kind", jobs("EFBIG"))
def test_a_file_that_gets_too_large(job, kind):
    work = job(kind)
    assert_told(*work.run(file_bytes=700))
    assert len(work.results()) < work.num_results
    complete(work)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of ``bytes``, which root can have; others skip."""
    mounted = []

    def mount(size: int) -> Path:
        folder = tmp_path / "disk"
        folder.mkdir()
        options = f"size={size}"
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if not hasattr(os, "geteuid") or os.geteuid() or subprocess.run(command).returncode:
            pytest.skip("only root can mount a small disk")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


# Room for some of what the tool writes, in bytes.
ROOM = dict(train=1_500_000, test=16_384, predict=16_384, convert=65_536, pack=65_536)


@pytest.mark.parametrize("kind", jobs("full disk"))
def test_a_full_disk(job, small_disk, kind):
    disk = small_disk(ROOM[kind])
    work = job(kind, disk / "out")
    assert_told(*work.run())
    assert len(work.results()) < work.num_results
    assert [path for path in work.half_written() if path.suffix != ".partial"] == []
    subprocess.run(["mount", "-o", "remount,size=100000000", str(disk)], check=True)
    complete(work)


@pytest.mark.parametrize("kind", jobs("read-only"))
def test_a_disk_that_cannot_be_written(job, small_disk, kind):
    disk = small_disk(1_000_000)
    (disk / "out").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    status, log = job(kind, disk / "out").run()
    assert_told(status, log)
    assert "Iter(" not in log  # before the work


@pytest.mark.parametrize("kind", jobs("two at once"))
def test_two_at_once(job, kind):
    work = job(kind)
    first, second = work.start(), work.start()
    ends = [first.end(), second.end()]
    assert all("Traceback" not in log for _, log in ends)
    statuses = sorted(status for status, _ in ends)
    if kind in ("train", "pack") and statuses != [0, 0]:  # one at a time, or one after the other
        assert statuses == [0, 1]
        assert "another" in next(log for status, log in ends if status == 1)
    else:
        assert statuses == [0, 0]
    assert len(work.results()) == work.num_results
    assert work.half_written() == []
