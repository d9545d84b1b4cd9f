import pytest
import torch
from mmengine.structures import PixelData

from mmseg_gc.accelerate import prepare_for_training, upsampled_loss
from mmseg_gc.accelerate.summed_loss import SummedDiceLoss, SummedLoss
from mmseg_gc.models import FCNHead
from mmseg_gc.structures import SegDataSample

CLASSES = 5
LOSSES = [
    dict(type="DiceLoss"),
    dict(type="DiceLoss", use_sigmoid=False, naive_dice=True, reduction="sum", ignore_index=1),
    dict(type="FocalLoss", alpha=[0.2, 0.3, 0.4, 0.5, 0.6], class_weight=[1.0, 2, 3, 4, 5]),
    dict(type="FocalLoss", reduction="sum", loss_weight=0.4),
    dict(type="TverskyLoss", class_weight=[1.0, 2, 3, 4, 5]),
    dict(type="LovaszLoss", per_image=True),
]


def head_of(loss: dict | list[dict], **options: object) -> FCNHead:
    common = dict(in_channels=4, channels=4, num_classes=CLASSES, in_index=0, loss_decode=loss)
    return FCNHead(**{**common, **options})


def prepared(head: FCNHead, **options: str) -> FCNHead:
    prepare_for_training(torch.nn.ModuleDict({"head": head}), **{"device_type": "cpu", **options})
    return head


def batch(count: int = 3) -> tuple[torch.Tensor, list[SegDataSample]]:
    torch.manual_seed(0)
    label = torch.randint(0, CLASSES, (count, 1, 33, 47))
    label[torch.rand(label.shape) < 0.2] = 255
    samples = [SegDataSample(gt_sem_seg=PixelData(data=one)) for one in label]
    return torch.randn(count, CLASSES, 5, 6) * 3, samples


@pytest.mark.parametrize(
    "loss", [*LOSSES, [dict(type="CrossEntropyLoss"), *LOSSES[:1]]], ids=lambda x: str(x)[9:20]
)
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("group", [1, 1 << 20])
def test_equals_the_plain_path(loss, align_corners, group, monkeypatch) -> None:
    monkeypatch.setattr(upsampled_loss, "GROUP", group)
    logits, samples = batch()
    results = []
    for prepare in (False, True):
        head = head_of(loss, align_corners=align_corners)
        if prepare:
            prepared(head)
            monkeypatch.setattr(head, "_resized", None)  # it shows the losses small logits
        x = logits.double().requires_grad_()
        losses = head.loss_by_feat(x, samples)
        sum(value for name, value in losses.items() if name != "acc_seg").backward()
        results.append((losses, x.grad))
    (plain, grad), (small, small_grad) = results
    assert plain.keys() == small.keys()
    for name, value in plain.items():
        torch.testing.assert_close(small[name], value, rtol=1e-6, atol=0)
    torch.testing.assert_close(small_grad, grad, rtol=1e-9, atol=1e-12)


def test_autocast_does_not_round_the_logits() -> None:
    logits, samples = batch()
    plain = head_of(LOSSES[0]).loss_by_feat(logits, samples)
    with torch.autocast("cpu", torch.bfloat16):
        small = prepared(head_of(LOSSES[0])).loss_by_feat(logits, samples)
    assert small["loss_dice"].item() == pytest.approx(plain["loss_dice"].item(), rel=1e-6)


def test_full_size_logits_are_not_kept() -> None:
    kept = []
    logits, _ = batch()
    label = torch.zeros(3, 64, 64, dtype=torch.long)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t), lambda t: t):
        SummedDiceLoss().of_small_logits(
            logits.requires_grad_(), label, align_corners=False, ignore_index=255
        )
    assert all(t.numel() <= logits.numel() for t in kept if t.is_floating_point())


@pytest.mark.parametrize(
    ("loss", "options"),
    [
        (dict(type="DiceLoss", reduction="none"), {}),
        (dict(type="LovaszLoss", reduction="none"), {}),
        (dict(type="LovaszLoss", loss_type="binary", per_image=True), {}),
        (dict(type="OhemCrossEntropy"), {}),
        (dict(type="DiceLoss"), dict(accelerate="none")),
    ],
)
def test_others_stay_as_they_are(loss, options) -> None:
    assert not isinstance(prepared(head_of(loss), **options).loss_decode, SummedLoss)


@pytest.mark.parametrize(
    "other", [dict(type="OhemCrossEntropy"), dict(type="LovaszLoss", reduction="none")]
)
def test_beside_a_loss_of_full_size(other) -> None:
    logits, samples = batch()
    plain = head_of([LOSSES[0], other]).loss_by_feat(logits, samples)
    found = prepared(head_of([LOSSES[0], other])).loss_by_feat(logits, samples)
    for name, value in plain.items():
        assert torch.equal(found[name], value)


def test_one_channel_is_enlarged() -> None:
    logits, samples = batch()
    for sample in samples:
        sample.gt_sem_seg.data %= 2
    options = dict(num_classes=2, out_channels=1, threshold=0.6)
    plain = head_of(LOSSES[0], **options).loss_by_feat(logits[:, :1], samples)
    found = prepared(head_of(LOSSES[0], **options)).loss_by_feat(logits[:, :1], samples)
    assert torch.equal(found["acc_seg"], plain["acc_seg"])
