import copy

import pytest
import torch
from torch import nn

from mmseg_gc.models.layers import fused_conv
from mmseg_gc.models.layers.fused_conv import FusedConv2d, fused, fuses
from mmseg_gc.models.layers.winograd import WinogradConv2d

pytestmark = pytest.mark.skipif(
    not fuses(nn.Conv2d(1, 1, 1)), reason="this build of torch has no oneDNN"
)


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("added", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        dict(in_channels=8, out_channels=24, kernel_size=1),
        dict(in_channels=8, out_channels=16, kernel_size=1, stride=2, bias=False),
        dict(in_channels=8, out_channels=16, kernel_size=3, stride=2, padding=1, groups=4),
        dict(in_channels=128, out_channels=128, kernel_size=3, padding=2, dilation=2),
    ],
)
def test_does_what_its_parts_do(options: dict, added: bool, relu: bool) -> None:
    conv = nn.Conv2d(**options)
    x = torch.randn(2, conv.in_channels, 13, 9).to(memory_format=torch.channels_last)
    with torch.no_grad():
        expected = conv(x)
        total = torch.randn_like(expected) if added else None
        if added:
            expected += total
        if relu:
            expected.relu_()
        layer = fused(conv, relu)
        out = layer(x, total)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=5e-5)
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert isinstance(layer, WinogradConv2d) == (conv.in_channels == 128)
    assert not added or out.data_ptr() == total.data_ptr()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_are_in_the_order_that_each_size_wants(dtype: torch.dtype) -> None:
    conv = nn.Conv2d(256, 1024, 1).to(dtype)
    layer = FusedConv2d(conv, relu=False)
    for side in (1, 8, 40, 8, 1, 40):
        x = torch.randn(1, 256, side, side).to(dtype).to(memory_format=torch.channels_last)
        with torch.no_grad():
            torch.testing.assert_close(layer(x), conv(x))
        wanted = fused_conv._ordered(conv.weight.detach(), layer.geometry, tuple(x.shape))
        used = layer._weight_for(tuple(x.shape))
        assert fused_conv._description(used) == fused_conv._description(wanted)
    assert len(layer._weights) <= 3
    assert len(copy.deepcopy(layer)._weights) == 1


def test_can_be_copied() -> None:
    layer = FusedConv2d(nn.Conv2d(8, 8, 1), relu=False)
    x = torch.randn(1, 8, 5, 5)
    with torch.no_grad():
        torch.testing.assert_close(copy.deepcopy(layer)(x), layer(x))


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv1d(4, 4, 1),
        nn.Conv2d(4, 4, 3, padding="same"),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        type("Own", (nn.Conv2d,), {"forward": lambda self, x: x})(4, 4, 1),
    ],
)
def test_others_are_left_alone(conv: nn.Module) -> None:
    assert not fuses(conv)
