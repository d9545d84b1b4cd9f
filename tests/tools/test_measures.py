"""Seconds, memory and arithmetic as the benchmarks measure them."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmseg_gc.errors import UserError

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools/benchmarks"))
import measures  # noqa: E402
from devices import choose_device, show_only  # noqa: E402


def test_memory_peak_is_that_of_the_work():
    peak = measures.memory_peak(lambda: np.ones(40 << 20, np.uint8))
    assert 38 << 20 < peak.above < 60 << 20
    assert peak.whole > 100 << 20 and peak.reserved is None  # torch alone takes more
    assert measures.memory_peak(lambda: None).above < 20 << 20
    assert str(measures.Peak(3 << 20, 5 << 20)) == "3 MiB; 5 MiB of the whole process"
    of_gpu = str(measures.Peak(3 << 20, 5 << 20, 8 << 20))
    assert of_gpu == "3 MiB; 5 MiB allocated in all, 8 MiB reserved"


def test_a_cpu_has_two_rates():
    rates = measures.matrix_rates("cpu", side=64, repeat=1)
    assert rates.keys() == {"fp32", "bf16"} and min(rates.values()) > 0


@pytest.fixture
def gpu(monkeypatch):
    """A GPU of the given compute capability, whose products are those of the CPU."""

    def make(capability):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        new = capability >= (8, 0)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: new)
        monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
        monkeypatch.setattr(torch, "randn", lambda *size, device: torch.zeros(size))

    return make


def test_a_gpu_has_four_rates_and_an_old_one_two(gpu):
    gpu((9, 0))
    rates = measures.matrix_rates("cuda:0", side=32, repeat=1)
    assert list(rates) == ["fp32", "tf32", "bf16", "fp16"]
    gpu((7, 5))
    assert list(measures.matrix_rates("cuda:0", side=32, repeat=1)) == ["fp32", "fp16"]


def test_the_products_of_tf32_run_with_it_and_those_of_fp32_without(gpu, monkeypatch):
    gpu((8, 6))
    switched = []

    def median_seconds(work, device, repeat):
        switched.append(torch.backends.cuda.matmul.fp32_precision == "tf32")
        return 1.0

    monkeypatch.setattr(measures, "median_seconds", median_seconds)
    measures.matrix_rates("cuda:0", side=2)
    assert switched == [False, True, False, False]


def test_float32_on_a_new_card_is_tf32_unless_turned_off(gpu):
    gpu((8, 0))
    assert measures.arithmetic("cuda:0", torch.float32) == "tf32"
    with measures.allow_tf32(False):
        assert measures.arithmetic("cuda:0", torch.float32) == "fp32"
    assert measures.arithmetic("cuda:0", torch.float32) == "tf32"
    assert measures.arithmetic("cuda:0", torch.bfloat16) == "bf16"
    assert measures.arithmetic("cpu", torch.float32) == "fp32"
    gpu((7, 0))
    assert measures.arithmetic("cuda:0", torch.float32) == "fp32"


def test_a_cpu_hides_the_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert choose_device("cpu") == torch.device("cpu")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""


def test_a_gpu_has_to_be_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="sees no GPU here; pass --device cpu"):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    chosen = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    assert choose_device("cuda:1") == torch.device("cuda", 1) and chosen == [1]
    with pytest.raises(UserError, match="this machine has 2 GPUs, the last is 1"):
        choose_device("cuda:2")
    with pytest.raises(UserError, match="--device gpu is no device"):
        choose_device("gpu")


@pytest.mark.parametrize(
    "seen, index, shown", [("2,5", 1, "5"), (None, 1, "1"), ("", 0, "0"), ("GPU-ab,1", 0, "GPU-ab")]
)
def test_processes_see_one_gpu(seen, index, shown, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if seen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", seen)
    device = SimpleNamespace(type="cuda", index=index)
    assert show_only(device) == {"CUDA_VISIBLE_DEVICES": shown}
    assert show_only(torch.device("cpu")) == {"CUDA_VISIBLE_DEVICES": ""}
