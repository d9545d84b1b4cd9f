from types import SimpleNamespace

import pytest
import torch

from mmseg_gc.engine import rank_flags
from mmseg_gc.engine.rank_flags import RankFlags

GOOD, BAD = torch.tensor(False), torch.tensor(True)


@pytest.fixture
def gpu(monkeypatch):
    """Values come as a GPU's do: with something to wait for. Holds what was waited for."""
    waited = []

    def fetch(values):
        number = len(sent)
        sent.append(number)
        return values, SimpleNamespace(synchronize=lambda: waited.append(number))

    sent = []
    monkeypatch.setattr(rank_flags, "fetch", fetch)
    return waited


def test_a_cpu_s_are_read_at_once():
    flags = RankFlags()
    assert flags.send(0, BAD, ["a.png"]).item()
    [(sent, here)] = flags.collect()
    assert (sent.iteration, sent.names, here) == (0, ["a.png"], True)
    assert not flags.send(1, GOOD, []).item()
    assert flags.collect() == [] and flags.signal == 0


def test_a_gpu_s_are_read_an_iteration_later(gpu):
    flags = RankFlags()
    flags.send(0, BAD, ["a.png"])
    assert flags.collect() == [] and gpu == []
    flags.send(1, GOOD, [])
    assert [sent.names for sent, _ in flags.collect()] == [["a.png"]] and gpu == [0]
    flags.send(2, BAD, ["c.png"])
    assert [sent.names for sent, _ in flags.collect(up_to_now=True)] == [["c.png"]]
    assert gpu == [0, 1, 2]


def test_a_signal_travels_with_them_and_is_kept(gpu):
    flags = RankFlags()
    flags.send(0, GOOD, [])
    flags.own_signal = lambda: 15
    flags.send(1, GOOD, [])
    flags.collect()
    assert flags.signal == 0
    flags.own_signal = lambda: 0
    for iteration in (2, 3):
        flags.send(iteration, GOOD, [])
        flags.collect()
        assert flags.signal == 15


def test_one_reduction_tells_all(monkeypatch):
    sums = []

    def reduce(tensor, how):
        sums.append(how)
        tensor.copy_(torch.tensor([1, 10], dtype=torch.int32))  # another rank's

    monkeypatch.setattr(rank_flags, "all_reduce", reduce)
    flags = RankFlags()
    assert flags.send(0, GOOD, ["mine.png"]).item()
    [(_, here)] = flags.collect()
    assert not here and flags.signal == 10 and sums == ["max"]
