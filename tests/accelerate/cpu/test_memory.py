import subprocess
import sys

import pytest

CODE = """
import sys
from pathlib import Path

import torch

from mmseg_gc.accelerate.cpu.memory import give_back_maps


def resident() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) >> 10


if "on" in sys.argv:
    give_back_maps()
first = torch.ones(28 << 18)  # 28 MiB; glibc keeps as much from now on
del first
maps = [torch.ones(12 << 18) for _ in range(20)]
last = torch.ones(12 << 18)  # behind them
del maps
print(resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_free_maps_go_to_the_system() -> None:
    def held(*args: str) -> int:
        run = subprocess.run(
            [sys.executable, "-c", CODE, *args], capture_output=True, text=True, check=True
        )
        return int(run.stdout)

    assert held("off") > held("on") + 100
