"""The toy training, processes for it, and how two of its ends are compared."""

import importlib.util
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mmseg_gc.checkpoint import load_checkpoint

TOY = Path(__file__).with_name("toy_training.py")
KEYS = ("state_dict", "optimizer", "param_schedulers", "resume_state", "ema_state_dict")


@pytest.fixture(scope="session")
def toy():
    """The module; `toy.build` gives a runner."""
    spec = importlib.util.spec_from_file_location("toy_training", TOY)
    module = sys.modules["toy_training"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def fork() -> Callable[..., int]:
    """``fork(work, log, **environment)`` is the id of a process, and of its group, that does it.

    It needn't import torch anew. What it says is in the file ``log``.
    """

    def start(work: Callable[[], object], log: Path, **environment: str) -> int:
        if child := os.fork():
            return child
        status = 1
        try:
            os.setsid()
            signal.alarm(100)  # ends what hangs
            os.environ.update(environment)
            sys.stdout = sys.stderr = log.open("a", buffering=1)
            torch.set_num_threads(1)
            work()
            status = 0
        except SystemExit as stopped:
            status = stopped.code
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)

    return start


@pytest.fixture(autouse=True)
def _quiet_loggers(monkeypatch):
    # Loggers of earlier tests write to streams that pytest has closed since.
    monkeypatch.setattr(logging, "raiseExceptions", False)


def equal(one, other) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


@pytest.fixture
def assert_same_end():
    """The two checkpoints hold the same state, bit for bit."""

    def check(one: Path, other: Path) -> None:
        states = [load_checkpoint(path) for path in (one, other)]
        for key in KEYS:
            assert (key in states[0]) == (key in states[1]), key
            assert equal(states[0].get(key), states[1].get(key)), key

    return check


@pytest.fixture
def same():
    """Whether two states are the same, bit for bit."""
    return equal
