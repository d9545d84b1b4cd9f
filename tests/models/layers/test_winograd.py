import copy

import pytest
import torch
from torch import nn

from mmseg_gc.models.layers import winograd
from mmseg_gc.models.layers.winograd import WinogradConv2d, suits_winograd, transforms


@pytest.mark.parametrize(("rows", "columns"), [(2, 2), (4, 4), (4, 6)])
def test_transforms_convolve_exactly(rows: int, columns: int) -> None:
    """One tile against the definition, in float64."""
    to_domain, filters, from_domain = transforms(rows, columns)
    tile = torch.randn(rows + 2, columns + 2, dtype=torch.float64)
    kernel = torch.randn(3, 3, dtype=torch.float64)
    domain = (to_domain @ tile.flatten()) * (filters @ kernel.flatten())
    out = (from_domain @ domain).view(rows, columns)
    for i in range(rows):
        for j in range(columns):
            expected = (tile[i : i + 3, j : j + 3] * kernel).sum()
            assert out[i, j].item() == pytest.approx(expected.item(), abs=1e-12)


def test_input_and_output_transforms_are_exact_in_bfloat16() -> None:
    to_domain, _, from_domain = transforms(*winograd.TILE)
    for matrix in (to_domain, from_domain):
        assert torch.equal(matrix.bfloat16().double(), matrix)


@pytest.mark.parametrize("dilation", [1, 2, 4])
@pytest.mark.parametrize("size", [(16, 32), (13, 7), (1, 5), (33, 18)])
@pytest.mark.parametrize("bias", [True, False])
def test_equals_the_direct_convolution(dilation: int, size: tuple[int, int], bias: bool) -> None:
    conv = nn.Conv2d(5, 6, 3, padding=dilation, dilation=dilation, bias=bias)
    x = torch.randn(2, 5, *size)
    with torch.no_grad():
        out = WinogradConv2d(conv)(x)
        torch.testing.assert_close(out, conv(x), rtol=1e-5, atol=5e-5)
    assert out.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_many_channels(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    conv = nn.Conv2d(64, 16, 3, padding=1).to(dtype)
    x = torch.randn(1, 64, 30, 22).to(dtype)
    with torch.no_grad():
        expected = WinogradConv2d(conv)(x)
        monkeypatch.setattr(winograd, "MANY_CHANNELS", 64)
        layer = WinogradConv2d(conv)
        assert layer.packed is not None
        torch.testing.assert_close(layer(x), expected)
        assert torch.equal(copy.deepcopy(layer)(x), layer(x))


@pytest.mark.parametrize("most", [0, 1, 3, 7, 100])
def test_parts_are_few_and_alike(most: int) -> None:
    numbers = range(5, 25)
    parts = winograd._parts(numbers, most)
    assert [number for part in parts for number in part] == list(numbers)
    assert len(parts) == -(-20 // max(1, most))
    assert max(map(len, parts)) <= max(1, most)


def test_work_in_pieces_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    conv = nn.Conv2d(8, 8, 3, padding=2, dilation=2)
    x = torch.randn(1, 8, 40, 24)
    with torch.no_grad():
        whole = WinogradConv2d(conv)(x)
        monkeypatch.setattr(winograd, "CACHED", 1)
        torch.testing.assert_close(WinogradConv2d(conv)(x), whole)
        monkeypatch.setattr(winograd, "WORKSPACE", 1)
        torch.testing.assert_close(WinogradConv2d(conv)(x), whole)


def test_error_in_bfloat16_is_what_the_module_says() -> None:
    conv = nn.Conv2d(64, 64, 3, padding=1)
    x = torch.randn(1, 64, 32, 32).relu()
    with torch.no_grad():
        expected = conv.double()(x.double())
        out = WinogradConv2d(conv.bfloat16())(x.bfloat16()).double()
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
