import copy

import pytest
import torch
from torch import nn

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
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert isinstance(layer, WinogradConv2d) == (conv.in_channels == 128)
    assert not added or out.data_ptr() == total.data_ptr()


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
