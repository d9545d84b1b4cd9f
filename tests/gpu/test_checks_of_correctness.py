"""The checks of `make gpu-check` that say right or wrong: run with ``pytest -m gpu``."""

import sys
from pathlib import Path

import pytest
import torch

TOOLS = Path(__file__).parents[2] / "tools"
sys.path += [str(TOOLS), str(TOOLS / "benchmarks")]
from gpu_check.catalogue import CORRECTNESS  # noqa: E402
from gpu_check.check import SkipCheck, time_limit  # noqa: E402
from gpu_check.setting import Setting  # noqa: E402

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can see"),
]


@pytest.mark.parametrize("check", CORRECTNESS, ids=lambda check: check.name)
def test_gpu(check):
    setting = Setting(torch.device("cuda", torch.cuda.current_device()))
    try:
        with time_limit(check.limit):
            print(check.function(setting))
    except SkipCheck as reason:
        pytest.skip(str(reason))
