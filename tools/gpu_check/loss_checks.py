"""Loss, accuracy and gradient beside plain interpolation and cross entropy in float64."""

from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from measures import allow_tf32
from torch import Tensor

from gpu_check import inputs
from gpu_check.check import Check, CheckFailed
from gpu_check.setting import Setting

IGNORED = 255
BOUND = 1e-4  # of the loss, and of the largest number of the gradient
ACCURACY = 0.02  # percent points: pixels whose two best logits are equal but for rounding


class Case(NamedTuple):
    num_classes: int
    weighted: bool = False
    sigmoid: bool = False
    align_corners: bool = False


CASES = {
    "19-classes": Case(19),
    "19-classes-769": Case(19, align_corners=True),
    "150-classes-weighted": Case(150, weighted=True),
    "sigmoid": Case(19, sigmoid=True),
}


class Result(NamedTuple):
    loss: float
    accuracy: float
    grad: Tensor


def loss_is_right(setting: Setting, case: Case) -> str:
    """In float32, and under autocast in each precision, where the loss stays in float32."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, case.num_classes, 17, 33, generator=generator)
    truth = torch.stack([inputs.label((129, 257), case.num_classes, seed) for seed in range(2)])
    truth[:, :, :9] = IGNORED
    weights = [0.5 + i / case.num_classes for i in range(case.num_classes)]
    weights = weights if case.weighted else None
    want = plain(logits, truth.squeeze(1).long(), case, weights)
    notes = []
    for precision in (None, "fp16", "bf16"):
        if precision is not None and (not setting.cuda or setting.lacks(precision)):
            continue
        with allow_tf32(False):
            found = ours(logits.to(setting.device), truth, case, weights, precision)
        error = float((found.grad - want.grad).abs().max() / want.grad.abs().max())
        off = abs(found.loss - want.loss) / abs(want.loss)
        name = f"autocast {precision}" if precision else "fp32"
        note = f"{name}: loss within {off:.0e}, gradient within {error:.0e}"
        if not (off < BOUND and error < BOUND and abs(found.accuracy - want.accuracy) < ACCURACY):
            raise CheckFailed(
                f"{note}, accuracy {found.accuracy:.3f} against {want.accuracy:.3f} in float64"
            )
        notes.append(note)
    return "; ".join(notes)


def ours(
    logits: Tensor, truth: Tensor, case: Case, weights: list[float] | None, precision: str | None
) -> Result:
    """By a head's ``loss_by_feat``, as training calls it."""
    from mmseg_gc.accelerate import prepare_for_training
    from mmseg_gc.models import FCNHead

    loss = dict(type="CrossEntropyLoss", use_sigmoid=case.sigmoid, class_weight=weights)
    head = FCNHead(
        in_channels=4,
        channels=4,
        num_convs=0,
        concat_input=False,
        num_classes=case.num_classes,
        align_corners=case.align_corners,
        loss_decode=loss,
    ).to(logits.device)
    prepare_for_training(head, device_type=logits.device.type)
    samples = [inputs.sample(tuple(one.shape[1:]), truth=one.to(logits.device)) for one in truth]
    leaf = logits.detach().requires_grad_()
    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(precision)
    with torch.autocast(logits.device.type, dtype, enabled=precision is not None):
        losses = head.loss_by_feat(leaf, samples)
    losses["loss_ce"].backward()
    return Result(losses["loss_ce"].item(), losses["acc_seg"].item(), leaf.grad.cpu())


def plain(logits: Tensor, truth: Tensor, case: Case, weights: list[float] | None) -> Result:
    """The formula, in float64 on the CPU."""
    leaf = logits.double().detach().requires_grad_()
    large = F.interpolate(leaf, truth.shape[1:], mode="bilinear", align_corners=case.align_corners)
    valid = truth != IGNORED
    safe = truth.where(valid, 0)
    if case.sigmoid:
        target = F.one_hot(safe, case.num_classes).permute(0, 3, 1, 2).double()
        each = F.binary_cross_entropy_with_logits(large, target, reduction="none")
        loss = (each * valid[:, None]).mean()
    else:
        weight = torch.ones(case.num_classes).double() if weights is None else torch.tensor(weights)
        each = F.cross_entropy(large, safe, weight.double(), reduction="none") * valid
        # With weights the mean is over their sum; without, over all pixels, ignored ones too.
        loss = each.sum() / (truth.numel() if weights is None else (weight[safe] * valid).sum())
    loss.backward()
    right = ((large.argmax(1) == truth) & valid).sum() / valid.sum()
    return Result(loss.item(), 100 * right.item(), leaf.grad)


CHECKS = [
    Check(
        f"loss/{name}",
        "loss, accuracy and gradient beside interpolate + cross entropy in float64",
        partial(loss_is_right, case=case),
    )
    for name, case in CASES.items()
]
