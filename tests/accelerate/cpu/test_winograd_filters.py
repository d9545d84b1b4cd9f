import math

import pytest
import torch
from torch import nn

from mmseg_gc.accelerate.cpu import winograd_filters
from mmseg_gc.accelerate.cpu.winograd import convolve
from mmseg_gc.accelerate.kernels import Kernels


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    winograd_filters._kept.clear()


def by_winograd(conv: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return convolve(x, [Kernels(conv)], dilation=1, relu=False)


def apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The norm of the difference as a share of what is expected."""
    found, expected = found.detach().double(), expected.detach().double()
    return ((found - expected).norm() / expected.norm()).item()


def test_filters_are_kept_within_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    convs = [nn.Conv2d(8, 8, 3, padding=1).bfloat16() for _ in range(3)]
    one = 48 * 8 * 8 * 2
    monkeypatch.setattr(winograd_filters._kept, "max_bytes", 2 * one)
    x = torch.randn(1, 8, 8, 12).bfloat16()
    for _ in range(2):
        for conv in convs:
            assert apart(by_winograd(conv, x), conv(x)) < 0.05
        assert winograd_filters._kept._kept_bytes() == 2 * one


def test_filters_in_float32_are_not_kept() -> None:
    by_winograd(nn.Conv2d(8, 8, 3, padding=1), torch.randn(1, 8, 8, 12))
    assert winograd_filters._kept._kept_bytes() == 0


@pytest.mark.parametrize("way", ["in place", "through data", "another tensor", "state dict"])
def test_kept_filters_follow_the_weights(way: str) -> None:
    conv = nn.Conv2d(8, 8, 3, padding=1).bfloat16()
    x = torch.randn(1, 8, 8, 12).bfloat16()
    before = by_winograd(conv, x)
    assert winograd_filters._kept._kept_bytes() > 0
    with torch.no_grad():
        if way == "in place":
            conv.weight.mul_(2)
        elif way == "through data":
            conv.weight.data.mul_(2)
        elif way == "another tensor":
            conv.weight = nn.Parameter(conv.weight * 2)
        else:
            conv.load_state_dict({k: v * 2 for k, v in conv.state_dict().items()})
    after = by_winograd(conv, x)
    assert apart(before, after) > 0.3
    assert apart(after, conv(x)) < 0.05


def test_filters_are_transformed_once_for_several_images(monkeypatch: pytest.MonkeyPatch) -> None:
    conv, x = nn.Conv2d(8, 8, 3, padding=1), torch.randn(3, 8, 12, 18)
    parts, transform = [], winograd_filters._transform
    monkeypatch.setattr(
        winograd_filters, "_transform", lambda *args: parts.append(args[2]) or transform(*args)
    )
    by_winograd(conv, x)
    assert parts == [range(8)]


def test_parts_of_filters_are_as_wide_as_products_like_them() -> None:
    """100 filters, 48 at once: 48, 48 and 4 rather than 34, 34 and 32."""
    conv, tile = nn.Conv2d(4, 100, 3), winograd_filters.Tile(4, 6)
    pool = torch.empty(48 * 48 * 4)
    with torch.no_grad():
        found = [
            (first, filters.shape[1], bias.tolist())
            for first, filters, bias in winograd_filters.in_parts([Kernels(conv)], tile, pool, 48)
        ]
    assert [(first, count) for first, count, _ in found] == [(0, 48), (48, 48), (96, 4)]
    assert [one for *_, bias in found for one in bias] == conv.bias.tolist()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("with_norm", [False, True])
def test_filters_are_rounded_once(
    dtype: torch.dtype, with_norm: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bfloat16 rounds them as it rounds any number, and not the matrix that they come by."""
    monkeypatch.setattr(winograd_filters._kept, "max_bytes", 0)
    conv, tile = nn.Conv2d(16, 24, 3, bias=False).to(dtype), winograd_filters.Tile(4, 6)
    norm, scale = None, torch.ones(24)
    if with_norm:
        norm = nn.BatchNorm2d(24).eval().to(torch.promote_types(dtype, torch.float32))
        norm.weight.data.uniform_(0.5, 2)
        norm.running_var.uniform_(0.5, 2)
        scale = norm.weight.detach() / (norm.running_var + norm.eps).sqrt()
    pool = torch.full((48 * 24 * 16,), math.nan, dtype=dtype)
    with torch.no_grad():
        [(_, found, _)] = winograd_filters.in_parts([Kernels(conv, norm)], tile, pool, 24)
        taps = conv.weight.double().permute(2, 3, 0, 1).reshape(9, -1)
        expected = (winograd_filters.transforms(*tile)[1] @ taps).view(48, 24, 16)
        expected = expected * scale.double()[:, None]
    largest = expected.abs().max()
    bound = {torch.float32: largest * 1e-6, torch.float64: largest * 1e-14}
    bound[torch.bfloat16] = expected.abs() * 2**-8 * 1.01 + largest * 1e-5
    assert ((found.double() - expected).abs() <= bound[dtype]).all()
