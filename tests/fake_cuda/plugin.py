"""pytest plugin that turns its process into one on a machine with a fake GPU.

It does so when it is imported, which is before any conftest imports torch or mmengine: their first
look for a device lasts.
"""

import ctypes
import os
from collections.abc import Iterator
from importlib import import_module

import pytest

ctypes.CDLL(os.environ["FAKE_CUDA_GUARD"], ctypes.RTLD_GLOBAL)
import_module("fake_cuda.stand_ins").install()


@pytest.fixture
def gpu() -> Iterator["FakeGpu"]:  # noqa: F821
    """The fake GPU, on for the whole test."""
    import torch

    torch.manual_seed(0)
    with import_module("fake_cuda.device").FakeGpu() as mode:
        yield mode
