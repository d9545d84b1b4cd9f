import threading
import time

import pytest
import torch

from mmseg_gc.inference import parallel as module
from mmseg_gc.inference.parallel import two_at_once


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_cores", lambda: 4)


def test_two_run_at_the_same_time_each_on_half_of_the_threads() -> None:
    met = threading.Barrier(2, timeout=30)

    def work(number: int) -> tuple[int, int, bool]:
        met.wait()
        return number, torch.get_num_threads(), torch.is_inference_mode_enabled()

    torch.set_num_threads(4)
    assert two_at_once(work, range(6)) == [(i, 2, True) for i in range(6)]
    assert torch.get_num_threads() == 4
    assert torch.ones(1).add_(1).sum() == 2


@pytest.mark.parametrize(("threads", "items"), [(1, [1, 2]), (4, [1]), (4, [])])
def test_nothing_to_share(threads: int, items: list[int]) -> None:
    def work(number: int) -> tuple[int, int]:
        return number, threading.get_ident()

    torch.set_num_threads(threads)
    assert two_at_once(work, items) == [(i, threading.get_ident()) for i in items]
    assert torch.get_num_threads() == threads


def test_threads_bound_to_one_core_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_cores", lambda: 1)
    torch.set_num_threads(2)
    here = threading.get_ident()
    assert two_at_once(lambda _: threading.get_ident(), [1, 2]) == [here, here]


def test_a_failure_is_the_caller_s() -> None:
    done = []

    def work(number: int) -> None:
        if number == 1:
            raise ValueError("the second")
        time.sleep(0.05)  # so that the caller hears of it before the others are through
        done.append(number)

    torch.set_num_threads(2)
    with pytest.raises(ValueError, match="the second"):
        two_at_once(work, range(40))
    assert torch.get_num_threads() == 2
    assert len(done) < 39  # what had not begun never does


def test_the_two_largest_never_meet() -> None:
    """Items come by their size: one thread begins with the largest, the other with the smallest."""
    met, first = threading.Barrier(2, timeout=30), []

    def work(number: int) -> None:
        if len(first) < 2:
            first.append(number)
            met.wait()

    torch.set_num_threads(2)
    two_at_once(work, range(6))
    assert sorted(first[:2]) == [0, 5]
