import pytest
import torch

from mmseg_gc.engine import tf32
from mmseg_gc.engine.tf32 import describe_float32, set_tf32, uses_tf32


@pytest.fixture
def gpu(monkeypatch):
    """Sets this process's GPU to one of a compute capability, with torch's own switches."""
    conv, matmul = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    set_to = {}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "GPU")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: set_to["capability"])
    yield lambda *capability: set_to.update(capability=capability)
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = conv, matmul


def switches():
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


def test_the_switch(gpu):
    gpu(8, 6)
    before = switches()
    set_tf32(None)
    assert switches() == before == (True, False)  # torch's own choice
    for allowed in (True, False):
        set_tf32(allowed)
        assert switches() == (allowed, allowed) and uses_tf32() is allowed


def test_only_ampere_and_later_have_it(gpu, monkeypatch):
    gpu(7, 5)
    set_tf32(True)
    assert not uses_tf32()
    assert describe_float32() == "float32 on GPU is float32: it has no TF32."
    gpu(9, 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert not uses_tf32()


def test_the_sentence(gpu):
    gpu(8, 0)
    for allowed, said in (
        (None, "convolutions in TF32 and matrix products in float32"),
        (True, "convolutions in TF32 and matrix products in TF32"),
        (False, "convolutions in float32 and matrix products in float32"),
    ):
        set_tf32(allowed)
        assert f"means {said}; tf32=False" in describe_float32()


def test_the_runner_reads_the_key(gpu, monkeypatch):
    from mmseg_gc.config.names import RUNNER_KEYS

    assert "tf32" in RUNNER_KEYS and tf32.TF32_CAPABILITY == (8, 0)
