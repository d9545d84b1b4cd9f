"""The trainings and tests of a comparison, each a process of its own, so that one may fail."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

WAIT = 0.2  # seconds from one look at the processes to the next


class Job(NamedTuple):
    """``python -m`` ``words``, whose output goes to the file ``log``."""

    name: str
    words: list[str]
    log: Path


def run_jobs(
    jobs: Sequence[Job], at_once: int, tell: Callable[[str, str | None, float], None]
) -> dict[str, str]:
    """Run ``jobs``, ``at_once`` at a time; what went wrong with those that failed, by name.

    ``tell`` is called with each one's name, its error or None, and its seconds when it ends. A
    signal that ends this process ends them as well: they save and stop.
    """
    waiting, failed = list(jobs), {}
    running: dict[subprocess.Popen, tuple[Job, float]] = {}
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                job = waiting.pop(0)
                running[_start(job, at_once)] = job, time.monotonic()
            time.sleep(WAIT)
            for process in [one for one in running if one.poll() is not None]:
                job, start = running.pop(process)
                error = last_words(job.log) if process.returncode else None
                if error is not None:
                    failed[job.name] = error
                tell(job.name, error, time.monotonic() - start)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()
        signal.signal(signal.SIGTERM, before)
    return failed


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _start(job: Job, at_once: int) -> subprocess.Popen:
    env = dict(os.environ)
    if at_once > 1:
        threads = max(1, (os.cpu_count() or 1) // at_once)
        env.setdefault("OMP_NUM_THREADS", str(threads))
    job.log.parent.mkdir(parents=True, exist_ok=True)
    with job.log.open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", *job.words], stdout=log, stderr=subprocess.STDOUT, env=env
        )


def last_words(log: Path) -> str:
    """The sentence with which a command ended, or its last line."""
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines()]
    lines = [line for line in lines if line] or ["it printed nothing"]
    told = [line for line in lines if line.startswith("Error: ")]
    return (told or lines)[-1].removeprefix("Error: ")
