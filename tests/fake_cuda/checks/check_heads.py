"""Every head beside GCNet's own on a GPU: it learns and labels there, without a wait."""

import importlib.util
from pathlib import Path

import pytest
import torch
from fake_cuda.device import FakeGpu
from fake_cuda.models import batch, prepared, training_batch
from mmengine.registry import init_default_scope
from torch import nn

from mmseg_gc.accelerate import prepare_for_training
from mmseg_gc.accelerate.modules import CLASSIFIERS
from mmseg_gc.registry import MODELS, SCOPE

CASES = Path(__file__).parents[3] / "tools/benchmarks/parity_checks/head_cases.py"
spec = importlib.util.spec_from_file_location("head_cases", CASES)
head_cases = importlib.util.module_from_spec(spec)
spec.loader.exec_module(head_cases)

# Each time, not only in a long run: a loss of labels' histogram, and rows of heads.
OFTEN = {("EncHead", "fp16"), ("OCRHead", "fp16"), ("PointHead", "fp16")}


def built(name: str) -> nn.Module:
    init_default_scope(SCOPE)
    return MODELS.build(head_cases.model_cfg(name, align_corners=False)).to("cuda:0")


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        pytest.param(name, each, marks=[] if (name, each) in OFTEN else pytest.mark.slow)
        for name in head_cases.HEADS
        for each in ("fp16", "fp32", "bf16", None)
    ],
)
def test_labels_and_losses(gpu: FakeGpu, name: str, precision: str | None):
    model = prepared(built(name).eval(), precision)
    with torch.no_grad(), gpu.record() as record:
        [sample] = model.test_step(batch((64, 72), original=(50, 60)))
    assert sample.pred_sem_seg.data.device == torch.device("cuda:0")
    assert not record.waits and not record.blocking_copies

    model = built(name).train()
    prepare_for_training(model, device_type="cuda")
    dtype = dict(fp16=torch.float16, bf16=torch.bfloat16).get(precision)
    with gpu.record() as record:
        with torch.autocast("cuda", dtype=dtype, enabled=dtype is not None):
            data = model.data_preprocessor(training_batch((64, 64)), training=True)
            loss, _ = model.parse_losses(model(**data, mode="loss"))
        loss.backward()
    assert loss.is_cuda and loss.dtype == torch.float32
    for key, parameter in model.named_parameters():
        assert not parameter.requires_grad or parameter.grad.is_cuda, key
    assert not record.waits and not record.blocking_copies


@pytest.mark.parametrize(("name", "last"), [("OCRHead", "conv_seg"), ("PointHead", "fc_seg")])
def test_each_head_of_a_row_classifies_exactly(gpu: FakeGpu, name: str, last: str):
    """In float32 too: TF32 would tie logits. A matrix product isn't TF32's unless asked for."""
    first, second = prepared(built(name).eval(), "fp32").decode_head
    for conv in (first.conv_seg, getattr(second, last)):
        assert isinstance(conv, tuple(CLASSIFIERS.values()))
