import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmseg_gc.accelerate.cpu import winograd_training
from mmseg_gc.accelerate.cpu.winograd_training import TrainedWinogradConv2d
from mmseg_gc.accelerate.training import prepare_for_training


def use_winograd(model: nn.Module) -> int:
    prepare_for_training(model, device_type="cpu")
    return sum(type(module) is TrainedWinogradConv2d for module in model.modules())


@pytest.fixture(autouse=True)
def small_limits(monkeypatch):
    for name, value in (("MIN_CHANNELS", 1), ("MIN_WEIGHTS", 1), ("MIN_PIXELS", 1)):
        monkeypatch.setattr(winograd_training, name, value)


def gradients(conv, x: torch.Tensor, grad: torch.Tensor):
    x = x.clone().requires_grad_()
    conv.zero_grad()
    out = conv(x)
    out.backward(grad.to(out.dtype))
    return out.detach(), x.grad, conv.weight.grad.clone(), conv.bias.grad.clone()


def pair(dtype, channels: int, count: int, channels_last: bool):
    torch.manual_seed(0)
    plain = nn.Conv2d(channels, count, 3, padding=1).to(dtype)
    if channels_last:
        plain = plain.to(memory_format=torch.channels_last)
    quick = nn.Sequential(nn.Conv2d(channels, count, 3, padding=1).to(dtype))
    quick.load_state_dict({f"0.{key}": value for key, value in plain.state_dict().items()})
    if channels_last:
        quick = quick.to(memory_format=torch.channels_last)
    assert use_winograd(quick) == 1
    return plain, quick[0]


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (5, 12), (1, 1), (2, 33)])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("limits", [(24 << 20, 22 << 20), (1, 1)])
def test_equals_convolution_in_float64(size, channels_last, limits, monkeypatch):
    monkeypatch.setattr(winograd_training, "WORKSPACE", limits[0])  # images one by one
    monkeypatch.setattr(winograd_training, "KERNELS", limits[1])  # kernels 16 by 16
    monkeypatch.setattr(winograd_training, "CACHED", limits[1])  # tiles row by row
    plain, quick = pair(torch.float64, 5, 35, channels_last)
    x, grad = torch.randn(3, 5, *size).double(), torch.randn(3, 35, *size).double()
    if channels_last:
        x = x.to(memory_format=torch.channels_last)
    for found, expected in zip(gradients(quick, x, grad), gradients(plain, x, grad), strict=True):
        assert found.shape == expected.shape
        assert (found - expected).norm() <= 1e-13 * expected.norm()


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 3e-6), (torch.bfloat16, 0.008)])
def test_rounding(dtype, bound):
    """Against float64 sums of the same rounded numbers."""
    plain, quick = pair(dtype, 96, 64, True)
    exact = nn.Conv2d(96, 64, 3, padding=1).double()
    exact.load_state_dict(plain.state_dict())
    x, grad = torch.randn(2, 96, 16, 24).relu().to(dtype), torch.randn(2, 64, 16, 24).to(dtype)
    found, expected = gradients(quick, x, grad), gradients(exact, x.double(), grad.double())
    for value, true in zip(found[:3], expected[:3], strict=True):
        assert value.dtype == dtype
        assert 0 < (value.double() - true).norm() <= bound * true.norm()


def test_under_autocast():
    plain, quick = pair(torch.float32, 16, 16, True)
    x = torch.randn(2, 16, 12, 12)
    with torch.autocast("cpu", torch.bfloat16):
        out, expected = quick(x), plain(x)
    assert out.dtype == expected.dtype == torch.bfloat16
    assert (out - expected).float().norm() <= 0.01 * expected.float().norm()
    out.float().sum().backward()
    assert quick.weight.grad.dtype == torch.float32


def test_outside_of_training_it_is_the_plain_convolution():
    plain, quick = pair(torch.float32, 16, 16, True)
    x = torch.randn(2, 16, 12, 12)
    assert torch.equal(quick.eval()(x), plain.eval()(x))
    assert not torch.equal(quick.train()(x), plain(x))


def test_only_frozen_or_only_input_gradients():
    _, quick = pair(torch.float64, 4, 6, False)
    x = torch.randn(1, 4, 6, 6).double()
    quick(x).sum().backward()
    assert quick.weight.grad.abs().sum() > 0
    quick.requires_grad_(False)
    x.requires_grad_()
    quick(x).sum().backward()
    expected = F.conv_transpose2d(torch.ones(1, 6, 6, 6).double(), quick.weight, padding=1)
    assert torch.allclose(x.grad, expected)


def test_which_convolutions_are_taken(monkeypatch):
    monkeypatch.setattr(winograd_training, "MIN_CHANNELS", 4)

    class Own(nn.Conv2d):
        pass

    model = nn.ModuleDict(
        {
            "taken": nn.Conv2d(4, 4, 3, padding=1, bias=False),
            "1x1": nn.Conv2d(4, 4, 1),
            "stride": nn.Conv2d(4, 4, 3, padding=1, stride=2),
            "dilated": nn.Conv2d(4, 4, 3, padding=2, dilation=2),
            "valid": nn.Conv2d(4, 4, 3),
            "groups": nn.Conv2d(8, 8, 3, padding=1, groups=2),
            "mirrored": nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
            "narrow": nn.Conv2d(3, 4, 3, padding=1),
            "own": Own(4, 4, 3, padding=1),
        }
    )
    keys = list(model.state_dict())
    parameters = list(model.parameters())
    assert use_winograd(model) == 1 and type(model["taken"]) is TrainedWinogradConv2d
    assert list(model.state_dict()) == keys and use_winograd(model) == 1
    assert all(one is other for one, other in zip(model.parameters(), parameters, strict=True))
