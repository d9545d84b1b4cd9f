"""Jobs run at once, one may fail, and none outlives the command."""

import os
import signal
import threading

import pytest

from mmseg_gc.cli.comparing import jobs
from mmseg_gc.cli.comparing.jobs import Job, last_words, run_jobs


def test_one_may_fail(tmp_path):
    told = []
    names = {"good": ["platform"], "bad": ["no_such_module"], "last": ["platform"]}
    failed = run_jobs(
        [Job(name, words, tmp_path / name / "log.txt") for name, words in names.items()],
        2,
        lambda name, error, seconds: told.append((name, error is None)),
    )
    assert failed.keys() == {"bad"} and "No module named no_such_module" in failed["bad"]
    assert sorted(told) == [("bad", False), ("good", True), ("last", True)]
    assert (tmp_path / "good/log.txt").read_text().strip()


def test_a_signal_ends_what_runs_and_begins_no_more(tmp_path, monkeypatch):
    started = []
    start = jobs._start

    def noted(job, at_once):
        started.append(start(job, at_once))
        return started[-1]

    monkeypatch.setattr(jobs, "_start", noted)
    before = signal.getsignal(signal.SIGTERM)
    sleep = ["timeit", "-n1", "-r1", "__import__('time').sleep(60)"]
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
    with pytest.raises(KeyboardInterrupt):
        run_jobs([Job(n, sleep, tmp_path / n) for n in "abc"], 2, lambda *_: None)
    assert len(started) == 2 and all(one.poll() is not None for one in started)
    assert signal.getsignal(signal.SIGTERM) == before


def test_last_words(tmp_path):
    log = tmp_path / "log.txt"
    log.write_text("iter 1\nError: no disk; free some.\nbye\n")
    assert last_words(log) == "no disk; free some."
    log.write_text("Traceback\nValueError: 3\n\n")
    assert last_words(log) == "ValueError: 3"
    log.write_text("")
    assert last_words(log) == "it printed nothing"
