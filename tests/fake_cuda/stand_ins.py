"""What stands in for ``torch.cuda`` while tensors on it are fake; it can't be taken back."""

import warnings
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._pytree import tree_map_only

from fake_cuda.device import FakeGpu

GIBIBYTE = 1 << 30
FREE, TOTAL = 20 * GIBIBYTE, 24 * GIBIBYTE
KEPT_BUSY = 100  # launches: a fifth of a training iteration


def install() -> None:
    """Let this process believe in one GPU of 24 GiB, 20 of them free."""
    warnings.filterwarnings("ignore", "Accessing the data pointer of FakeTensor")
    # `torch.tensor(..., device="cuda")` makes numbers on the CPU and copies them, as a mode sees.
    torch._C._set_only_lift_cpu_tensors(True)
    torch.cuda.amp.common.amp_definitely_not_available = lambda: False
    answers = {
        "_lazy_init": None,
        "is_available": True,
        "is_initialized": True,
        "is_bf16_supported": True,
        "device_count": 1,
        "current_device": 0,
        "set_device": None,
        "get_device_name": "fake",
        "get_device_capability": (8, 0),
        "get_device_properties": SimpleNamespace(
            name="fake", major=8, minor=0, total_memory=TOTAL, multi_processor_count=108
        ),
        "mem_get_info": (FREE, TOTAL),
        "memory_allocated": GIBIBYTE,
        "memory_reserved": GIBIBYTE,
        "max_memory_allocated": GIBIBYTE,
        "max_memory_reserved": GIBIBYTE,
        "memory_stats": {},
        "memory_stats_as_nested_dict": {},
        "reset_peak_memory_stats": None,
        "empty_cache": None,
        "manual_seed": None,
        "manual_seed_all": None,
        "set_rng_state": None,
        "set_rng_state_all": None,
    }
    for name, answer in answers.items():
        setattr(torch.cuda, name, lambda *args, answer=answer, **kwargs: answer)
    torch.cuda.get_rng_state = lambda *_: torch.zeros(16, dtype=torch.uint8)
    torch.cuda.get_rng_state_all = lambda *_: [torch.zeros(16, dtype=torch.uint8)]
    torch.accelerator.is_available = lambda: True
    torch.accelerator.current_accelerator = lambda check_available=False: torch.device("cuda")
    torch.cuda.Event = _Event
    torch.backends.cudnn.is_available = lambda: True
    torch.cuda.synchronize = lambda *_: FakeGpu.active.wait("synchronize")
    FakeTensor.tolist = lambda self: (
        self.cpu().tolist()
    )  # torch's own asks for one number at a time
    FakeTensor.__reduce_ex__ = _refuse_to_be_saved
    torch.load = partial(_load, torch.load)
    nn.Module._apply = _apply


class _Event:
    """A mark among the launches: waiting for it is none if the GPU has got enough to do since."""

    def __init__(self, *args, **kwargs) -> None:
        self._launches = 0

    def record(self, stream: object = None) -> None:
        self._launches = FakeGpu.active.launches

    def query(self) -> bool:
        return FakeGpu.active.launches > self._launches + KEPT_BUSY

    def synchronize(self) -> None:
        if not self.query():
            FakeGpu.active.wait("Event.synchronize")


def _refuse_to_be_saved(self: FakeTensor, protocol: int) -> None:
    raise AssertionError(f"a tensor {tuple(self.shape)} on {self.device} goes into a file")


def _load(real_load: Callable, *args, map_location: object = None, **kwargs) -> object:
    """By way of the CPU, since bytes that are read have nowhere to go on the fake GPU.

    Bytes themselves stay there: they are states of random generators, whose numbers matter.
    """
    loaded = real_load(*args, map_location="cpu", **kwargs)
    if map_location is None or torch.device(map_location).type == "cpu":
        return loaded
    return tree_map_only(
        Tensor, lambda x: x if x.dtype == torch.uint8 else x.to(map_location), loaded
    )


def _apply(self: nn.Module, fn, recurse: bool = True) -> nn.Module:
    """torch's, with new parameters: it would swap fake tensors in place, which they refuse."""
    for child in self.children() if recurse else ():
        child._apply(fn)
    for name, parameter in self._parameters.items():
        if parameter is not None:
            with torch.no_grad():
                new: Tensor = fn(parameter)
            if new is not parameter:
                self._parameters[name] = nn.Parameter(new, parameter.requires_grad)
    for name, buffer in self._buffers.items():
        if buffer is not None:
            self._buffers[name] = fn(buffer)
    return self
