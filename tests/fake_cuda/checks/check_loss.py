"""Losses and their gradients on a GPU, of every kind of head, model and precision."""

import pytest
import torch
from fake_cuda.device import FakeGpu
from fake_cuda.models import CLASSES, gcnet, training_batch
from torch import Tensor

from mmseg_gc.accelerate import prepare_for_training
from mmseg_gc.accelerate.summed_loss import SummedDiceLoss
from mmseg_gc.accelerate.upsampled_loss import UpsampledCrossEntropyLoss
from mmseg_gc.models import accuracy
from mmseg_gc.models.layers import resize
from mmseg_gc.registry import MODELS

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
WEIGHTS = [1.0] * CLASSES
FURTHER_LOSSES = (
    [CE, dict(type="DiceLoss"), dict(type="DiceLoss", use_sigmoid=False, naive_dice=True)],
    [
        dict(type="FocalLoss", class_weight=WEIGHTS, alpha=WEIGHTS),
        dict(type="TverskyLoss", class_weight=WEIGHTS),
        dict(type="LovaszLoss", per_image=True),
    ],
    [
        dict(type="LovaszLoss", reduction="none", class_weight=WEIGHTS),
        dict(type="OhemCrossEntropy", class_weight=WEIGHTS),
        dict(type="HausdorffDistanceLoss", class_weight=WEIGHTS),
    ],
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
    **{
        f"further losses {count}": (dict(head=dict(loss_decode=losses)), ())
        for count, losses in enumerate(FURTHER_LOSSES)
    },
    "hard pixels": (dict(head=dict(sampler=dict(type="OHEMPixelSampler", thresh=0.7))), ("fp16",)),
    "pixels of a large loss": (
        dict(head=dict(sampler=dict(type="OHEMPixelSampler", min_kept=99))),
        (),
    ),
    "one channel, further losses": (
        dict(
            num_classes=2,
            head=dict(
                out_channels=1,
                loss_decode=[
                    dict(type="DiceLoss"),
                    dict(type="FocalLoss"),
                    dict(type="LovaszLoss", loss_type="binary", per_image=True),
                ],
            ),
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
    # Enlarging the gradient back takes torch's own kernel far longer than reading its bytes.
    assert ours.moved.total() <= 1.02 * plain.moved.total()
    assert ours.launches.total() <= 75  # 27 by definition; several images take turns


@pytest.mark.parametrize("batch", BATCHES)
def test_large_logits_of_sums(gpu: FakeGpu, batch: str):
    """Less memory than by definition, of a batch of several images."""
    count, num_classes, height, width = BATCHES[batch]
    loss = SummedDiceLoss(use_sigmoid=False)
    label = torch.zeros(count, height, width, dtype=torch.int64, device="cuda:0")

    def by_definition(logits: Tensor) -> Tensor:
        full = resize(logits, label.shape[1:], mode="bilinear", align_corners=False)
        accuracy(full, label, ignore_index=255)
        return loss(full, label)

    def small(logits: Tensor) -> Tensor:
        return loss.of_small_logits(logits, label, align_corners=False, ignore_index=255)[0]

    peaks = []
    for of_logits in (by_definition, small):
        logits = torch.zeros(count, num_classes, height // 8, width // 8, device="cuda:0")
        logits.requires_grad_()
        with gpu.record() as record:
            of_logits(logits).backward()
        assert not record.waits and not record.blocking_copies
        peaks.append(record.peak)
    assert peaks[1] <= 0.75 * peaks[0]


@pytest.mark.parametrize("loss", [cfg for losses in FURTHER_LOSSES for cfg in losses], ids=str)
def test_further_losses_wait_for_nothing(gpu: FakeGpu, loss: dict):
    """Quicker than a model: three classes alone, of which one may be absent."""
    short = {key: value[:3] if value is WEIGHTS else value for key, value in loss.items()}
    label = torch.zeros(2, 8, 8, dtype=torch.int64, device="cuda:0")
    logits = torch.zeros(2, 3, 8, 8, device="cuda:0", requires_grad=True)
    module = MODELS.build(short).to("cuda:0")
    with gpu.record() as record:
        value = module(logits, label, ignore_index=255)
        value.backward()
    assert value.is_cuda and value.dim() == 0 and logits.grad.is_cuda
    assert not record.waits and not record.blocking_copies
