import os
import subprocess
import sys
import threading
from collections.abc import Sequence

import pytest
import torch

from mmseg_gc.inference import parallel as module
from mmseg_gc.inference.parallel import in_halves, parts, share


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_cores", lambda: 4)


def test_both_halves_run_at_the_same_time_each_on_half_of_the_threads() -> None:
    met, seen = threading.Barrier(2, timeout=30), []

    def work(numbers: Sequence[int]) -> None:
        met.wait()
        seen.append((*numbers, torch.get_num_threads(), torch.is_inference_mode_enabled()))

    for threads in (4, 2):  # also after another number
        torch.set_num_threads(threads)
        in_halves(work, range(5))
        assert sorted(seen) == [(0, 1, threads // 2, True), (2, 3, 4, threads // 2, True)]
        assert torch.get_num_threads() == threads
        new: list[int] = []
        thread = threading.Thread(target=lambda new=new: new.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert new == [threads]  # what starts later has all of them
        seen.clear()
    assert torch.ones(1).add_(1).sum() == 2


@pytest.mark.parametrize(("threads", "items"), [(1, [1, 2]), (4, [1]), (4, [])])
def test_nothing_to_share(threads: int, items: list[int]) -> None:
    torch.set_num_threads(threads)
    calls = []
    in_halves(lambda some: calls.append((list(some), threading.get_ident())), items)
    assert calls == [(items, threading.get_ident())]
    assert torch.get_num_threads() == threads


def test_threads_bound_to_one_core_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_cores", lambda: 1)
    torch.set_num_threads(2)
    calls = []
    in_halves(lambda some: calls.append((some, threading.get_ident())), [1, 2])
    assert calls == [([1, 2], threading.get_ident())]


def test_a_failure_is_the_caller_s() -> None:
    def work(numbers: Sequence[int]) -> None:
        if 1 in numbers:
            raise ValueError("the first")

    torch.set_num_threads(2)
    with pytest.raises(ValueError, match="the first"):
        in_halves(work, range(4))
    assert torch.get_num_threads() == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system forks no processes")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own() -> None:
    torch.set_num_threads(2)
    in_halves(len, range(4))
    child = os.fork()
    if child == 0:
        in_halves(len, range(4))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("most", [0, 1, 3, 7, 100])
def test_parts_are_few_and_alike(most: int) -> None:
    numbers = range(5, 25)
    found = parts(numbers, most)
    assert [number for part in found for number in part] == list(numbers)
    assert len(found) == -(-20 // max(1, most))
    assert max(map(len, found)) <= max(1, most)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_each_share_has_room_of_its_own(dtype: torch.dtype) -> None:
    done, room = [], torch.zeros(8)

    def work(items: range, own: torch.Tensor) -> None:
        done.append((list(items), len(own)))
        own.add_(1)

    share(work, range(5), dtype, room)
    if dtype is torch.float32:
        assert sorted(done) == [([0, 1, 2], 4), ([3, 4], 4)]
    else:
        assert done == [([0, 1, 2, 3, 4], 8)]
    assert room.tolist() == [1.0] * 8


SPIN = """
import os, sys, time
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
import torch
from mmseg_gc.inference import in_halves
torch.set_num_threads(2)
if sys.argv[1] == "halves":
    in_halves(lambda half: None, [0, 1])
seconds = 0.0
for _ in range(20):
    torch.zeros(1 << 20)  # by both threads
    start = time.process_time()
    time.sleep(0.02)
    seconds += time.process_time() - start
print(seconds)
"""


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="needs two cores of a Linux machine",
)
def test_idle_threads_leave_the_cores_to_the_halves() -> None:
    """GNU's OpenMP keeps one busy for 6 ms after each operation: 10 % of an R50's time, once."""
    env = {name: value for name, value in os.environ.items() if "OMP" not in name}

    def wasted(what: str) -> float:
        args = [sys.executable, "-c", SPIN, what]
        return float(subprocess.run(args, env=env, check=True, capture_output=True).stdout)

    before = wasted("nothing")
    if before < 0.02:
        pytest.skip("this OpenMP's idle threads sleep by themselves")
    assert wasted("halves") < before / 4


@pytest.mark.parametrize(
    ("length", "most", "lengths"),
    [
        (512, 112, [112, 112, 112, 112, 64]),
        (512, 144, [128] * 4),
        (10, 16, [10]),
        (40, 16, [16, 16, 8]),
    ],
)
def test_parts_in_units(length: int, most: int, lengths: list[int]) -> None:
    assert [len(part) for part in parts(range(length), most, 16)] == lengths
