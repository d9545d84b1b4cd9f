"""Memory over images of many sizes: oneDNN keeps what it compiled for some of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmseg_gc.inference import primitives

# One size more than there is room for, twice over: each has to be made anew.
SIZES = """
import torch
import mmseg_gc.inference
torch.set_num_threads(1)
conv = torch.nn.Conv2d(3, 8, 3).eval()
with torch.no_grad():
    for size in 2 * [*range(20, 20 + COUNT)]:
        conv(torch.zeros(2, 3, size, 20))
"""


def test_the_user_s_number_stands(monkeypatch):
    monkeypatch.delenv(primitives.VARIABLE, raising=False)
    for given, kept in ((None, "256"), ("7", "7")):
        monkeypatch.setenv(primitives.VARIABLE, given) if given else None
        primitives.bound_primitives()
        assert os.environ[primitives.VARIABLE] == kept


@pytest.mark.slow
def test_it_is_read_though_torch_was_imported_before():
    environment = {**os.environ, "ONEDNN_VERBOSE": "profile_create"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    environment.pop(primitives.VARIABLE, None)
    made = []
    for count in (primitives.CAPACITY // 8, primitives.CAPACITY + 1):
        finished = subprocess.run(
            [sys.executable, "-c", SIZES.replace("COUNT", str(count))],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        lines = [line for line in finished.stdout.splitlines() if ",convolution," in line]
        if not lines:
            pytest.skip("this torch convolves without oneDNN")
        made.append(sum("cache_miss" in line for line in lines) / count)
    assert made[0] == 1 and made[1] >= 2
