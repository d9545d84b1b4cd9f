import pytest
import torch
from mmengine.structures import PixelData

from mmseg_gc.accelerate import prepare_for_training, upsampled_loss
from mmseg_gc.accelerate.upsampled_loss import UpsampledCrossEntropyLoss
from mmseg_gc.models import FCNHead
from mmseg_gc.models.layers import resize
from mmseg_gc.models.losses import CrossEntropyLoss, accuracy
from mmseg_gc.structures import SegDataSample

CLASSES = 5


@pytest.fixture(params=["by rows", "by images", "image by image"], autouse=True)
def way(request, monkeypatch):
    """A CPU's way, and a GPU's, which a CPU can go as well, with all images in a group or one."""
    if request.param != "by rows":
        monkeypatch.setattr(upsampled_loss, "_by_rows", upsampled_loss._by_images)
    if request.param == "image by image":
        monkeypatch.setattr(upsampled_loss, "GROUP", 1)


def both_ways(dtype, align_corners: bool, size, loss, ignore_index, logits=None):
    """Loss, accuracy and gradient by full-size logits, and without them."""
    torch.manual_seed(0)
    logits = torch.randn(2, CLASSES, 6, 9, dtype=dtype) * 3 if logits is None else logits
    label = torch.randint(0, CLASSES, (2, *size))
    if ignore_index is not None:
        label[torch.rand(label.shape) < 0.3] = ignore_index
    results = []
    for small in (False, True):
        x = logits.clone().requires_grad_()
        if small:
            value, share = loss.of_small_logits(
                x, label, align_corners=align_corners, ignore_index=ignore_index
            )
        else:
            full = resize(x, size, mode="bilinear", align_corners=align_corners, warning=False)
            value = loss(full, label, ignore_index=ignore_index)
            share = accuracy(full, label, ignore_index=ignore_index)
        value.backward()
        results.append((value.detach(), share, x.grad))
    return results


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(48, 72), (41, 65), (6, 9)])
@pytest.mark.parametrize(
    ("options", "ignore_index"),
    [
        ({}, 255),
        ({}, None),
        ({"avg_non_ignore": True, "loss_weight": 0.4}, 255),
        ({"class_weight": [0.5, 1, 0, 2, 1.5]}, 3),
    ],
)
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-13), (torch.float32, 1e-6)])
def test_equals_the_plain_path(
    align_corners, size, options, ignore_index, dtype, bound, monkeypatch
):
    monkeypatch.setattr(upsampled_loss, "CHUNK", 7 * CLASSES * size[1])  # uneven chunks
    loss = UpsampledCrossEntropyLoss(**options)
    plain, small = both_ways(dtype, align_corners, size, loss, ignore_index)
    assert small[0].dtype == dtype and small[1].shape == (1,)
    assert torch.equal(small[1], plain[1])
    for found, expected in ((small[0], plain[0]), (small[2], plain[2])):
        assert (found - expected).abs().max() <= bound * expected.abs().max()


def test_golden_value():
    """Scores that are equal in all pixels: log(1 + 2 / e) for class 0, 1 more for the others."""
    logits = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    label = torch.zeros(1, 4, 4, dtype=torch.long)
    label[0, :2, :2] = 2
    value, share = UpsampledCrossEntropyLoss().of_small_logits(
        logits, label, align_corners=False, ignore_index=255
    )
    expected = torch.log(1 + 2 * torch.exp(torch.tensor(-1.0))) + 4 / 16
    assert value.item() == pytest.approx(expected.item(), rel=1e-6) and share.item() == 75


def test_all_ignored_is_zero():
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    label = torch.full((1, 8, 8), 255)
    for options in ({}, {"avg_non_ignore": True}):
        value, share = UpsampledCrossEntropyLoss(**options).of_small_logits(
            logits, label, align_corners=False, ignore_index=255
        )
        value.backward()
        assert value == 0 and share == 100 and not logits.grad.any()


def test_autocast_does_not_round_the_logits():
    loss = UpsampledCrossEntropyLoss()
    with torch.autocast("cpu", torch.bfloat16):
        plain, small = both_ways(torch.float32, False, (48, 72), loss, 255)
    assert torch.equal(small[1], plain[1])
    assert (small[2] - plain[2]).abs().max() <= 1e-6 * plain[2].abs().max()


def test_full_size_logits_are_not_kept():
    kept = []
    logits = torch.randn(1, CLASSES, 8, 8, requires_grad=True)
    label = torch.zeros(1, 64, 64, dtype=torch.long)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()), lambda t: t):
        UpsampledCrossEntropyLoss().of_small_logits(
            logits, label, align_corners=False, ignore_index=255
        )
    assert max(kept) <= logits.numel()


def test_the_gradient_lies_as_the_logits_do():
    """The convolution before them is slower with another layout."""
    logits = torch.randn(2, CLASSES, 6, 9).to(memory_format=torch.channels_last).requires_grad_()
    value, _ = UpsampledCrossEntropyLoss().of_small_logits(
        logits, torch.zeros(2, 48, 72).long(), align_corners=False, ignore_index=255
    )
    (grad,) = torch.autograd.grad(value, logits)  # which `backward` would lay out anew
    assert grad.stride() == logits.stride()


class Own(CrossEntropyLoss):
    """A user's, who may have changed anything."""


@pytest.mark.parametrize(
    ("loss", "is_replaced"),
    [
        (dict(type="CrossEntropyLoss", class_weight=[0.5, 1, 2, 1, 1]), True),
        (dict(type="CrossEntropyLoss", use_sigmoid=True), False),
        (dict(type="CrossEntropyLoss", reduction="sum"), False),
        (dict(type=Own), False),
    ],
)
@pytest.mark.parametrize("device_type", ["cpu", "cuda"])
@pytest.mark.parametrize("accelerate", ["auto", "none"])
def test_training_takes_it_where_it_can(loss, is_replaced, device_type, accelerate):
    head = FCNHead(in_channels=4, channels=4, num_classes=CLASSES, in_index=0, loss_decode=loss)
    model = torch.nn.ModuleDict({"decode_head": head})
    plain = head.loss_decode
    prepare_for_training(model, device_type=device_type, accelerate=accelerate)
    found = type(head.loss_decode) is UpsampledCrossEntropyLoss
    assert found == (is_replaced and accelerate == "auto")
    assert found or head.loss_decode is plain
    assert head.loss_decode.class_weight is plain.class_weight


def test_the_head_shows_it_small_logits(monkeypatch):
    """And gets the numbers that it has by definition."""
    label = torch.randint(0, CLASSES, (1, 32, 48))
    samples = [SegDataSample(gt_sem_seg=PixelData(data=label))]
    logits = torch.randn(1, CLASSES, 4, 6)
    head = FCNHead(in_channels=4, channels=4, num_classes=CLASSES, in_index=0)
    plain = head.loss_by_feat(logits, samples)
    prepare_for_training(torch.nn.ModuleDict({"head": head}), device_type="cpu")
    monkeypatch.setattr(head, "_resized", None)
    found = head.loss_by_feat(logits, samples)
    assert found.keys() == plain.keys() == {"loss_ce", "acc_seg"}
    assert found["loss_ce"].item() == pytest.approx(plain["loss_ce"].item(), rel=1e-6)
    assert torch.equal(found["acc_seg"], plain["acc_seg"])
