import copy
import pickle

import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from torch.utils._python_dispatch import TorchDispatchMode

from mmseg_gc.engine import late_values
from mmseg_gc.engine.late_values import LateHistory, OnTheirWay, record


class Items(TorchDispatchMode):
    """Counts `Tensor.item` and copies of tensors to a host."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.fixture
def hub():
    return MessageHub(f"late_{id(object())}")


def test_nothing_is_read_until_something_is_asked_for(hub, monkeypatch):
    reads = []
    original = torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda self: reads.append(1) or original(self))
    with Items() as items:
        for step in range(3):
            record(hub, "train/loss", torch.tensor(step + 0.5))
            record(hub, "train/acc", torch.tensor([step + 10.0]))
            record(hub, "train/count", torch.tensor(step))
    assert items.count == 0 and not reads
    assert hub.get_scalar("train/loss").mean(2) == 2.0
    assert len(reads) == 2  # floats and integers, of all keys
    assert hub.get_scalar("train/acc").current() == 12.0
    assert hub.get_scalar("train/count").data[0].tolist() == [0, 1, 2]
    assert hub.get_scalar("train/loss").data[1].tolist() == [1, 1, 1]
    assert len(reads) == 2


def test_numbers_and_tensors_keep_their_order(hub):
    hub.update_scalar("train/loss", 1.0)
    record(hub, "train/loss", torch.tensor(2.0))
    hub.update_scalar("train/loss", 3.0)
    record(hub, "train/loss", torch.tensor(4.0, requires_grad=True) * 1)
    assert hub.get_scalar("train/loss").data[0].tolist() == [1, 2, 3, 4]


def test_a_checkpoint_holds_mmengine_s_own_class(hub):
    record(hub, "train/loss", torch.tensor(2.0))
    assert isinstance(hub.log_scalars["train/loss"], LateHistory)
    saved = hub.state_dict()
    kept = saved["log_scalars"]["train/loss"]
    assert type(kept) is HistoryBuffer and kept.current() == 2.0
    assert b"late_values" not in pickle.dumps(saved)
    assert type(copy.deepcopy(hub.log_scalars["train/loss"])) is HistoryBuffer
    resumed = MessageHub(f"resumed_{id(saved)}")
    resumed.load_state_dict(saved)
    record(resumed, "train/loss", torch.tensor(4.0))
    assert resumed.get_scalar("train/loss").mean() == 3.0


def test_so_many_may_wait(hub, monkeypatch):
    monkeypatch.setattr(late_values, "MAX_WAITING", 3)
    for step in range(4):
        record(hub, "train/loss", torch.tensor(float(step)))
    assert len(hub.log_scalars["train/loss"].waiting) == 1
    assert hub.get_scalar("train/loss").data[0].tolist() == [0, 1, 2, 3]


class _Event:
    """An event of a GPU that isn't ready yet."""

    ready = False

    def query(self) -> bool:
        return self.ready

    def synchronize(self) -> None:
        self.ready = True


def test_a_number_comes_when_its_event_says_so(monkeypatch):
    two = dict(loss=torch.tensor(2.5), acc=torch.tensor([3.0], dtype=torch.float64))
    assert OnTheirWay(two).have_come and OnTheirWay(two).values() == dict(loss=2.5, acc=3.0)
    assert OnTheirWay({}).have_come and OnTheirWay({}).values() == {}
    event = _Event()
    monkeypatch.setattr(late_values, "fetch", lambda value: (value, event))
    sent = OnTheirWay(dict(loss=torch.tensor(3.5, requires_grad=True)))
    assert not sent.have_come
    assert sent.values() == dict(loss=3.5) and event.ready and sent.have_come


def test_numbers_of_two_devices_travel_apart(monkeypatch):
    monkeypatch.setattr(late_values, "fetch", lambda value: (torch.zeros(value.shape), None))
    mixed = dict(a=torch.ones((), device="meta"), b=torch.ones(()), c=torch.ones((), device="meta"))
    assert list(OnTheirWay(mixed).values().items()) == [("a", 0.0), ("b", 0.0), ("c", 0.0)]
