import math

import pytest
import torch
from torch import nn

from mmseg_gc.accelerate.cpu import winograd_filters
from mmseg_gc.accelerate.cpu.winograd import convolve
from mmseg_gc.accelerate.kernels import Kernels


def by_winograd(conv: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return convolve(x, [Kernels(conv)], dilation=1, relu=False)


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
    pool = torch.empty(winograd_filters.filters_size(tile, 48, 4, torch.float32))
    with torch.no_grad():
        found = [
            (first, filters.shape[1], bias.tolist())
            for first, filters, bias in winograd_filters.in_parts([Kernels(conv)], tile, pool, 48)
        ]
    assert [(first, count) for first, count, _ in found] == [(0, 48), (48, 48), (96, 4)]
    assert [one for *_, bias in found for one in bias] == conv.bias.tolist()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("with_norm", [False, True])
def test_filters_are_rounded_once(dtype: torch.dtype, with_norm: bool) -> None:
    """bfloat16 rounds them as it rounds any number, and not the matrix that they come by."""
    conv, tile = nn.Conv2d(16, 24, 3, bias=False).to(dtype), winograd_filters.Tile(4, 6)
    norm, scale = None, torch.ones(24)
    if with_norm:
        norm = nn.BatchNorm2d(24).eval().to(torch.promote_types(dtype, torch.float32))
        norm.weight.data.uniform_(0.5, 2)
        norm.running_var.uniform_(0.5, 2)
        scale = norm.weight.detach() / (norm.running_var + norm.eps).sqrt()
    pool = torch.full((winograd_filters.filters_size(tile, 24, 16, dtype),), math.nan, dtype=dtype)
    with torch.no_grad():
        [(_, found, _)] = winograd_filters.in_parts([Kernels(conv, norm)], tile, pool, 24)
        taps = conv.weight.double().permute(2, 3, 0, 1).reshape(9, -1)
        expected = (winograd_filters.transforms(*tile)[1] @ taps).view(48, 24, 16)
        expected = expected * scale.double()[:, None]
    largest = expected.abs().max()
    bound = {torch.float32: largest * 1e-6, torch.float64: largest * 1e-14}
    bound[torch.bfloat16] = expected.abs() * 2**-8 * 1.01 + largest * 1e-5
    assert ((found.double() - expected).abs() <= bound[dtype]).all()


def test_places_lie_no_power_of_two_apart() -> None:
    """256 x 256 numbers in float32 would; oneDNN's products in bfloat16 take no gaps."""
    tile = winograd_filters.Tile(4, 6)
    for dtype, gap in ((torch.float32, winograd_filters.GAP), (torch.bfloat16, 0)):
        conv = nn.Conv2d(16, 32, 3).to(dtype)
        pool = torch.empty(winograd_filters.filters_size(tile, 32, 16, dtype), dtype=dtype)
        with torch.no_grad():
            [(_, found, _)] = winograd_filters.in_parts([Kernels(conv)], tile, pool, 32)
        assert found.stride() == (32 * 16 + gap, 16, 1)
        assert pool.numel() == 48 * found.stride(0)
    assert winograd_filters.GAP > 0 == winograd_filters.GAP % 16  # whole lines of a cache


@pytest.fixture
def transformed(monkeypatch: pytest.MonkeyPatch) -> list[range]:
    """Filters that are transformed, where 20 MiB of them are kept."""
    found, transform = [], winograd_filters._transform
    monkeypatch.setattr(winograd_filters, "_kept", winograd_filters.Derived(20 << 20))
    monkeypatch.setattr(
        winograd_filters, "_transform", lambda *args: found.append(args[2]) or transform(*args)
    )
    return found


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_filters_in_sixteen_bits_are_kept(dtype: torch.dtype, transformed: list[range]) -> None:
    conv = nn.Conv2d(128, 128, 3, padding=1).to(dtype)
    x = torch.randn(1, 128, 12, 18).to(dtype)
    first, second = by_winograd(conv, x), by_winograd(conv, x)
    assert torch.equal(first, second)
    assert len(transformed) == (1 if dtype is torch.bfloat16 else 2)
    conv.weight.data.mul_(2)  # of which torch keeps no count
    conv.bias.data.mul_(2)
    assert torch.equal(by_winograd(conv, x), 2 * first)


def test_an_r50_keeps_a_fifth_of_its_filters() -> None:
    """What leaves every row of docs/benchmarks.md below four fifths of mmsegmentation's memory."""
    assert winograd_filters._kept.max_bytes == winograd_filters.KEPT_BYTES == 64 << 20


def test_filters_that_find_no_room_are_transformed_again(transformed: list[range]) -> None:
    """384 of 384 channels take 13.5 MiB each time; two of those don't fit."""
    convs = [nn.Conv2d(384, 384, 3, padding=1).bfloat16() for _ in range(2)]
    x = torch.randn(1, 384, 12, 18).bfloat16()
    kept = [by_winograd(conv, x) for conv in convs]
    again = [by_winograd(conv, x) for conv in convs]
    assert len(transformed) == 3
    assert all(map(torch.equal, kept, again))
    pool, tile = torch.empty(48 * 384 * 384, dtype=x.dtype), winograd_filters.Tile(4, 6)
    with torch.no_grad():
        for conv, in_pool in zip(convs, (False, True), strict=True):
            kernels = Kernels(conv).of_channels(range(384), with_bias=True)  # as by_winograd's
            [(_, found, _)] = winograd_filters.in_parts([kernels], tile, pool, 384)
            assert (found.data_ptr() == pool.data_ptr()) == in_pool


def test_parts_and_channels_are_kept_apart(transformed: list[range]) -> None:
    conv, tile = nn.Conv2d(64, 96, 3).bfloat16(), winograd_filters.Tile(4, 6)
    pool = torch.zeros(48 * 96 * 64, dtype=torch.bfloat16)

    def filters(kernels: Kernels, at_once: int) -> torch.Tensor:
        parts = winograd_filters.in_parts([kernels], tile, pool, at_once)
        return torch.cat([found.clone() for _, found, _ in parts], 1)

    with torch.no_grad():
        whole = filters(Kernels(conv), 96)
        for _ in range(2):
            assert torch.equal(filters(Kernels(conv), 32), whole)
            halves = [Kernels(conv, None, 0, 32), Kernels(conv, None, 32, 64)]
            assert torch.equal(torch.cat([filters(half, 96) for half in halves], 2), whole)
    assert len(transformed) == 1 + 3 + 2 and not pool.any()
