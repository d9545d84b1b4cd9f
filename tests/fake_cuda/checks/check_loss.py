"""Losses and their gradients on a GPU, of every kind of head, model and precision."""

import pytest
import torch
from fake_cuda.device import FakeGpu
from fake_cuda.models import CLASSES, gcnet, training_batch
from torch import Tensor

from mmseg_gc.accelerate import prepare_for_training
from mmseg_gc.accelerate.upsampled_loss import UpsampledCrossEntropyLoss
from mmseg_gc.models import accuracy
from mmseg_gc.models.layers import resize

CE = dict(type="CrossEntropyLoss")
GC_BLOCKS = dict(
    plugins=[
        dict(
            cfg=dict(type="ContextBlock", ratio=1 / 4),
            stages=(False, True, True, True),
            position="after_conv3",
        )
    ],
    depth=50,
)
# Of the model; and in which precisions each time, not only in a long run.
CASES = {
    "plain": ({}, ("fp32", "fp16", "bf16")),
    "class weights": (
        dict(head=dict(loss_decode=dict(CE, class_weight=[1.0] * CLASSES))),
        ("fp16",),
    ),
    "not ignored": (dict(head=dict(loss_decode=dict(CE, avg_non_ignore=True))), ()),
    "nothing to ignore": (dict(head=dict(ignore_index=None)), ("fp32",)),
    "aligned corners": (dict(head=dict(align_corners=True)), ()),
    "sigmoid": (dict(head=dict(loss_decode=dict(CE, use_sigmoid=True))), ("bf16",)),
    "one channel": (
        dict(num_classes=2, head=dict(out_channels=1, loss_decode=dict(CE, use_sigmoid=True))),
        ("fp32",),
    ),
    "several losses": (
        dict(
            head=dict(
                loss_decode=[
                    dict(CE, class_weight=[1.0] * CLASSES),
                    dict(CE, use_sigmoid=True, loss_name="loss_bce"),
                ]
            )
        ),
        ("fp16",),
    ),
    "GC blocks in the backbone": (dict(backbone=GC_BLOCKS), ("fp16",)),
    "recomputed": (dict(backbone=dict(with_cp=True)), ("fp16",)),
    "frozen": (dict(backbone=dict(frozen_stages=2, norm_eval=True)), ("fp16",)),
}
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@pytest.mark.parametrize(
    ("case", "precision"),
    [
        pytest.param(case, each, marks=[] if each in often else pytest.mark.slow)
        for case, (_, often) in CASES.items()
        for each in DTYPES
    ],
)
def test_loss_and_backward(gpu: FakeGpu, case: str, precision: str):
    model = gcnet(**CASES[case][0]).train()
    prepare_for_training(model, device_type="cuda")
    dtype = DTYPES[precision]
    with gpu.record() as record:
        with torch.autocast("cuda", dtype=dtype, enabled=dtype != torch.float32):
            data = model.data_preprocessor(training_batch((64, 64)), training=True)
            loss, _ = model.parse_losses(model(**data, mode="loss"))
        loss.backward()
    assert loss.is_cuda and loss.dtype == torch.float32
    for name, parameter in model.named_parameters():
        learns = parameter.requires_grad
        assert (parameter.grad is not None) == learns, name
        assert not learns or parameter.grad.device == parameter.device, name
    assert {convolution.dtype for convolution in record.convolutions} == {dtype}
    assert not record.waits and not record.blocking_copies


# Batches of 8 and 16 GPUs' recipes: of VOC 2012 and ADE20K 4 images, of Cityscapes 2.
BATCHES = {
    "Cityscapes": (2, 19, 512, 1024),
    "ADE20K": (4, 150, 512, 512),
    "VOC 2012": (4, 21, 512, 512),
}


@pytest.mark.parametrize("batch", BATCHES)
def test_large_logits(gpu: FakeGpu, batch: str):
    """Half of the memory of the loss by definition, and not more to read and write."""
    count, num_classes, height, width = BATCHES[batch]
    loss = UpsampledCrossEntropyLoss()
    label = torch.zeros(count, height, width, dtype=torch.int64, device="cuda:0")

    def by_definition(logits: Tensor) -> tuple[Tensor, Tensor]:
        full = resize(logits, label.shape[1:], mode="bilinear", align_corners=False)
        return loss(full, label, ignore_index=255), accuracy(full, label, ignore_index=255)

    def small(logits: Tensor) -> tuple[Tensor, Tensor]:
        return loss.of_small_logits(logits, label, align_corners=False, ignore_index=255)

    records = []
    for of_logits in (by_definition, small):
        logits = torch.zeros(count, num_classes, height // 8, width // 8, device="cuda:0")
        logits = logits.to(memory_format=torch.channels_last).requires_grad_()
        with gpu.record() as record:
            value, _ = of_logits(logits)
            (grad,) = torch.autograd.grad(value, logits)
        assert not record.waits and not record.blocking_copies
        records.append(record)
    plain, ours = records
    assert grad.stride() == logits.stride()  # as the convolution before them wants it
    assert ours.peak <= plain.peak / 2
    assert ours.moved.total() <= plain.moved.total()
    assert ours.launches.total() <= 70  # 27 by definition; several images take turns
