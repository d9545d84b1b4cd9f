"""The program without the folder `mmseg_gc/accelerate`."""

import subprocess
import sys

import pytest

BLOCK = """
import sys
sys.modules["mmseg_gc.accelerate"] = None
import pytest
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[1:]]))
"""


@pytest.mark.slow
def test_tests_of_models_and_training_pass() -> None:
    names = ("test_overrides.py", "test_tta.py")  # these prepare models
    skipped = [f"--ignore=tests/models/segmentors/{name}" for name in names]
    tests = ["tests/models", "tests/engine/test_runner.py", *skipped]
    done = subprocess.run(
        [sys.executable, "-c", BLOCK, *tests], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


def test_plain_models_come_through_the_door() -> None:
    code = """
import sys
sys.modules["mmseg_gc.accelerate"] = None
import torch
from torch import nn
from mmseg_gc.engine import SegRunner, acceleration
from mmseg_gc.apis import init_model
from mmseg_gc.errors import UserError
from mmseg_gc.models import GCHead, ResNetV1c
backbone = ResNetV1c(18, base_channels=8, stem_channels=8)
head = GCHead(in_channels=64, channels=8, num_classes=3)
head(backbone(torch.rand(2, 3, 32, 32))).sum().backward()
assert backbone.stem[0].weight.grad.abs().sum() > 0
model = nn.Linear(1, 1)
assert acceleration.prepare_for_inference(model) is model and not model.training
assert acceleration.prepare_for_training(model, device_type="cpu") is model
with acceleration.less_kept(model):
    acceleration.give_back_memory()
try:
    acceleration.prepare_for_inference(model, precision="bf16")
except UserError as error:
    assert "restore" in str(error)
else:
    raise AssertionError
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
