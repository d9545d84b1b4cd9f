from types import SimpleNamespace

import pytest
import torch

from mmseg_gc.engine import out_of_memory
from mmseg_gc.engine.out_of_memory import explain_memory
from mmseg_gc.errors import UserError

ERRORS = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
]


@pytest.mark.parametrize("error", ERRORS, ids=["host", "cuda", "torch"])
@pytest.mark.parametrize(
    ("test_cfg", "cure"),
    [
        (None, r"as a whole: give model.test_cfg mode='slide' .*memory_budget='2GiB'"),
        (dict(mode="whole"), r"as a whole: give model.test_cfg mode='slide'"),
        (dict(mode="slide"), r"windows: make crop_size of model.test_cfg smaller.*memory_budget"),
    ],
)
def test_the_cure_fits_the_mode(error, test_cfg, cure):
    told = pytest.raises(UserError, match=rf"a\.png doesn't fit into .*memory .*{cure}")
    with told, explain_memory(test_cfg, "a.png"):
        raise error


def test_other_errors_stay():
    with pytest.raises(RuntimeError, match="sizes differ"), explain_memory(None):
        raise RuntimeError("sizes differ")


def test_the_mode_is_found_below_wrappers():
    inner = SimpleNamespace(test_cfg=dict(mode="slide"))
    views = SimpleNamespace(module=SimpleNamespace(module=inner))
    assert out_of_memory.test_cfg_of(views) == inner.test_cfg
    assert out_of_memory.test_cfg_of(SimpleNamespace()) is None
