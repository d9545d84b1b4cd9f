from typing import Any

import pytest
import torch
from torch import nn

from mmseg_gc.accelerate.cpu import operators, winograd, winograd_filters, winograd_transforms
from mmseg_gc.accelerate.cpu.winograd import convolve, suits_winograd
from mmseg_gc.accelerate.cpu.winograd_transforms import TILES
from mmseg_gc.accelerate.kernels import Kernels


def by_winograd(conv: nn.Conv2d, x: torch.Tensor, **options: object) -> torch.Tensor:
    with torch.no_grad():
        return convolve(x, [Kernels(conv)], dilation=conv.dilation[0], relu=False, **options)


def apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The norm of the difference as a share of what is expected."""
    found, expected = found.detach().double(), expected.detach().double()
    return ((found - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("dilation", [1, 2, 4])
@pytest.mark.parametrize("size", [(16, 32), (13, 7), (1, 5), (33, 18)])
@pytest.mark.parametrize("bias", [True, False])
def test_equals_the_direct_convolution(dilation: int, size: tuple[int, int], bias: bool) -> None:
    conv = nn.Conv2d(5, 6, 3, padding=dilation, dilation=dilation, bias=bias)
    x = torch.randn(2, 5, *size)
    with torch.no_grad():
        out = by_winograd(conv, x)
        torch.testing.assert_close(out, conv(x), rtol=1e-5, atol=5e-5)
    assert out.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("tile", TILES)
def test_every_tile_gives_the_direct_convolution(tile, monkeypatch: pytest.MonkeyPatch) -> None:
    conv, x = nn.Conv2d(5, 6, 3, padding=2, dilation=2), torch.randn(2, 5, 23, 19)
    monkeypatch.setattr(winograd, "best_tile", lambda *args: tile)
    with torch.no_grad():
        torch.testing.assert_close(by_winograd(conv, x), conv(x), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("many", [1, 10**9])
def test_both_ways_of_multiplying(
    dtype: torch.dtype, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    conv = nn.Conv2d(64, 16, 3, padding=1).to(dtype)
    x = torch.randn(1, 64, 30, 22).to(dtype)
    calls = []
    linear = operators.linear
    monkeypatch.setattr(operators, "linear", lambda *args: calls.append(0) or linear(*args))
    monkeypatch.setattr(winograd, "MANY", many)
    bound = 1e-5 if dtype is torch.float32 else 0.05
    with torch.no_grad():
        expected = conv.float()(x.float())
    found = by_winograd(conv.to(dtype), x).float()
    assert (found - expected).norm() < bound * expected.norm()
    one_by_one = many == 1 and dtype is torch.float32 and operators.available()
    assert bool(calls) == one_by_one


def test_several_kernels_side_by_side_norm_residual_and_relu() -> None:
    convs = [nn.Conv2d(6, count, 3, padding=1, bias=count > 4) for count in (4, 7)]
    norm = nn.BatchNorm2d(4).eval()
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    x, residual = torch.randn(2, 6, 9, 13), torch.randn(2, 11, 9, 13)
    residual = residual.to(memory_format=torch.channels_last)
    with torch.no_grad():
        expected = torch.cat([norm(convs[0](x)), convs[1](x)], dim=1).add(residual).relu()
        kernels = [Kernels(convs[0], norm), Kernels(convs[1])]
        kept = residual.clone()
        found = convolve(x, kernels, dilation=1, relu=True, residual=residual)
        assert torch.equal(residual, kept)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=5e-5)
        over = convolve(x, kernels, dilation=1, relu=True, residual=residual, overwrite=True)
    assert over.data_ptr() == residual.data_ptr() and torch.equal(residual, found)


def test_work_in_pieces_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    conv = nn.Conv2d(8, 8, 3, padding=2, dilation=2)
    x = torch.randn(3, 8, 40, 24)
    with torch.no_grad():
        whole = by_winograd(conv, x)
        monkeypatch.setattr(winograd_transforms, "CACHED", {4: 1})
        torch.testing.assert_close(by_winograd(conv, x), whole)
        monkeypatch.setattr(winograd, "INPUT_BYTES", 48 * 4 * 8 * 4 * 14)  # parts across images
        torch.testing.assert_close(by_winograd(conv, x), whole)
        monkeypatch.setattr(winograd, "INPUT_BYTES", 1)
        monkeypatch.setattr(winograd, "FILTER_BYTES", 1)
        torch.testing.assert_close(by_winograd(conv, x), whole)


@pytest.mark.parametrize("overwrite", [False, True])
def test_channels_of_a_small_image_are_added_up(
    overwrite: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is too large to hold goes by channels, so that no filter is transformed twice."""
    conv, norm = nn.Conv2d(96, 8, 3, padding=1), nn.BatchNorm2d(8).eval()
    norm.running_mean.normal_()
    x, residual = torch.randn(2, 96, 9, 13), torch.randn(2, 8, 9, 13)
    shapes, transform = [], winograd_filters._transform

    def noted(weight: torch.Tensor, *args: object) -> None:
        shapes.append(weight.shape)
        transform(weight, *args)

    monkeypatch.setattr(winograd, "INPUT_BYTES", 36 * 18 * 32 * 4)
    monkeypatch.setattr(winograd, "PART_BYTES", 36 * 18 * 32 * 4)
    monkeypatch.setattr(winograd_filters, "_transform", noted)
    with torch.no_grad():
        right = norm.double()(conv.double()(x.double())).add(residual).relu().float()
        conv.float(), norm.float()
        kernels = [Kernels(conv, norm)]
        found = winograd.convolve(
            x, kernels, dilation=1, relu=True, residual=residual, overwrite=overwrite
        )
    torch.testing.assert_close(found, right, rtol=1e-4, atol=1e-4)
    assert sum(shape[1] for shape in shapes) == 96
    assert len(shapes) > 1
    assert torch.equal(found, residual) == overwrite


def test_more_filters_than_channels_find_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept filters are used all at once, however many they are."""
    conv = nn.Conv2d(16, 512, 3, padding=1).bfloat16()
    x = torch.randn(1, 16, 9, 60).bfloat16()
    monkeypatch.setattr(winograd_transforms, "CACHED", {4: 1, 2: 1})
    with torch.no_grad():
        assert apart(by_winograd(conv, x), conv.float()(x.float())) < 0.05


def test_error_in_bfloat16_is_what_the_module_says() -> None:
    conv = nn.Conv2d(64, 64, 3, padding=1)
    x = torch.randn(1, 64, 32, 32).relu()
    with torch.no_grad():
        expected = conv.double()(x.double())
        out = by_winograd(conv.bfloat16(), x.bfloat16()).double()
    assert (out - expected).norm() / expected.norm() < 0.035


@pytest.mark.parametrize(
    ("options", "suits"),
    [
        (dict(padding=1), True),
        (dict(padding=4, dilation=4), True),
        (dict(padding=1, stride=2), False),
        (dict(padding=0), False),
        (dict(padding=1, groups=2), False),
        (dict(padding=1, padding_mode="reflect"), False),
    ],
)
def test_which_convolutions_suit(options: dict, suits: bool) -> None:
    assert suits_winograd(nn.Conv2d(128, 128, 3, **options)) == suits
    assert not suits_winograd(nn.Conv2d(128, 128, 1))
    assert not suits_winograd(nn.Conv2d(64, 128, 3, padding=1))


@pytest.mark.parametrize(
    ("shape", "dilation", "filters", "faster"),
    [
        ((1, 512, 64, 128), 4, 512, True),
        ((1, 512, 97, 97), 4, 512, True),
        ((1, 2048, 64, 128), 24, 512, True),
        ((1, 2048, 64, 128), 36, 512, False),  # 2x4 pixels of each sub-grid, of tiles of 4x4
        ((1, 256, 4, 4), 1, 256, False),
        # As measured: 5.2 ms beside 3.1, 44 beside 49, 5.1 beside 3.0, 14.6 beside 16.0.
        ((1, 128, 32, 64), 1, 128, False),
        ((4, 128, 97, 97), 1, 128, True),
        ((1, 256, 16, 32), 2, 256, False),
        ((2, 256, 34, 45), 2, 256, True),
        # Filters that see one input share the work on it.
        ((1, 160, 32, 64), 1, 256, False),
        ((1, 160, 32, 64), 1, 512, True),
    ],
)
def test_where_it_pays(shape: tuple[int, ...], dilation: int, filters: int, faster: bool) -> None:
    assert winograd.pays(torch.empty(shape), dilation, filters) == faster


@pytest.mark.parametrize(
    ("dtype", "most"), [(torch.float32, 64), (torch.bfloat16, 128), (torch.float64, 64)]
)
def test_filters_of_as_many_bytes_at_once(
    dtype: torch.dtype, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice as many where a number takes half of the room, and no more than that many bytes."""
    monkeypatch.setattr(winograd, "MAX_FILTERS", {4: 64, 2: 128})
    at_once, in_parts = [], winograd.in_parts

    def noted(*args: Any) -> Any:
        at_once.append(args[-1])
        return in_parts(*args)

    monkeypatch.setattr(winograd, "in_parts", noted)
    conv, x = nn.Conv2d(16, 160, 3, padding=1).to(dtype), torch.randn(1, 16, 12, 12, dtype=dtype)
    with torch.no_grad():
        assert apart(by_winograd(conv, x), conv.double()(x.double())) < 0.05
        places = winograd.best_tile((12, 12), 1, 1, dtype).places
        monkeypatch.setattr(winograd, "FILTER_BYTES", places * 16 * 32 * dtype.itemsize)
        by_winograd(conv.to(dtype), x)
    assert at_once == [most, 32]


def test_one_row_of_tiles_may_be_too_much() -> None:
    """ASPP's at dilation 24 takes 226 MiB of 2048 channels, more than rows can divide."""
    images = torch.empty(1, 64, 128, 2048)
    tile = winograd.best_tile((64, 128), 24, 1, torch.float32)
    channels = winograd._channels_at_once(images, tile, 24)
    down, across = tile.counts((64, 128), 24)
    row = tile.places * across * 24**2 * 4
    assert row * 2048 > winograd.INPUT_BYTES
    assert all(row * len(some) <= winograd.PART_BYTES for some in channels)
    assert len(channels) == -(-row * 2048 // winograd.PART_BYTES)
    assert [number for some in channels for number in some] == list(range(2048))
