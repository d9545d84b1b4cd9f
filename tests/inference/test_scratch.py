import pytest
import torch

from mmseg_gc.inference import scratch as module
from mmseg_gc.inference.scratch import scratch


@pytest.fixture(autouse=True)
def nothing_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_idle", [])


def test_memory_is_used_again_and_grows() -> None:
    like = torch.zeros(0)
    with scratch(10, like) as first:
        assert first.shape == (10,) and first.dtype == torch.float32
    with scratch(20, like.bfloat16()) as again:
        assert again.data_ptr() == first.data_ptr() and again.dtype == torch.bfloat16
    with scratch(1000, like) as larger:
        assert larger.shape == (1000,)
    assert len(module._idle) == 1


def test_two_at_a_time_are_two() -> None:
    like = torch.zeros(0)
    with scratch(10, like) as one, scratch(10, like) as other:
        one.fill_(1)
        other.fill_(2)
        assert one.eq(1).all()


def test_an_error_gives_it_back() -> None:
    with pytest.raises(ValueError, match="within"), scratch(10, torch.zeros(0)):
        raise ValueError("within")
    assert len(module._idle) == 1


def test_what_inference_mode_made_can_be_written_to_outside() -> None:
    with torch.inference_mode(), scratch(10, torch.zeros(0)):
        pass
    with scratch(10, torch.zeros(0)) as memory:
        memory.fill_(1)


def test_what_is_far_larger_than_the_next_needs_is_let_go(monkeypatch) -> None:
    monkeypatch.setattr(module, "_idle", [])
    monkeypatch.setattr(module, "SMALL", 0)
    like = torch.empty(0)
    for wanted, held in [(90, 90), (80, 90), (50, 50)]:
        with scratch(wanted, like) as pool:
            assert len(pool) == wanted
        assert [len(buffer) for buffer in module._idle] == [4 * held]
