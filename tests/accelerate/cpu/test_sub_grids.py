import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmseg_gc.accelerate import prepare_for_inference
from mmseg_gc.accelerate.cpu import operators, sub_grids
from mmseg_gc.registry import MODELS

pytestmark = pytest.mark.skipif(not operators.available(), reason="oneDNN's operators are missing")


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "shape,dilation", [((2, 5, 13, 9), 2), ((1, 7, 6, 17), 3), ((1, 4, 5, 4), 12)]
)
def test_it_is_the_dilated_convolution(shape, dilation, dtype, relu, monkeypatch):
    monkeypatch.setattr(sub_grids, "AT_ONCE", 3)  # the last part is smaller
    channels = shape[1]
    x, weight = torch.randn(shape, dtype=dtype), torch.randn(channels, 1, 3, 3, dtype=dtype)
    bias = torch.randn(channels, dtype=dtype) if dilation != 3 else None
    direct = F.conv2d(
        *(None if one is None else one.double() for one in (x, weight, bias)),
        padding=dilation,
        dilation=dilation,
        groups=channels,
    )
    expected = direct.relu() if relu else direct
    with torch.inference_mode():
        found = sub_grids.convolve(x, weight, bias, dilation=dilation, relu=relu)
    assert found.dtype == dtype and found.is_contiguous(memory_format=torch.channels_last)
    error = (found.double() - expected).abs().max().item()
    assert error < (1e-5 if dtype is torch.float32 else 0.1)


@pytest.mark.parametrize(
    "changes",
    [
        dict(groups=2),
        dict(out_channels=8),
        dict(kernel_size=5),
        dict(stride=2),
        dict(dilation=1, padding=1),
        dict(dilation=(2, 3), padding=(2, 3)),
        dict(padding=1),
        dict(padding="same"),
    ],
)
def test_others_are_not_for_it(changes):
    suiting = dict(in_channels=4, out_channels=4, kernel_size=3, dilation=2, padding=2, groups=4)
    assert sub_grids.suits_sub_grids(nn.Conv2d(**suiting))
    assert not sub_grids.suits_sub_grids(nn.Conv2d(**{**suiting, **changes}))


def test_a_separable_head_goes_by_grids(gcnet_cfg, monkeypatch):
    cfg = gcnet_cfg()
    head = cfg["decode_head"]
    width = head["in_channels"]
    cfg["decode_head"] = dict(
        type="DepthwiseSeparableASPPHead",
        in_channels=width,
        in_index=3,
        channels=16,
        dilations=(1, 2, 3),
        c1_in_channels=0,
        c1_channels=0,
        num_classes=head["num_classes"],
        norm_cfg=dict(type="BN"),
    )
    plain = MODELS.build(cfg).eval()
    calls, original = [], sub_grids.convolve
    monkeypatch.setattr(
        sub_grids, "convolve", lambda *a, **k: calls.append(k["dilation"]) or original(*a, **k)
    )
    fast = prepare_for_inference(copy.deepcopy(plain))
    calls.clear()
    image = torch.randn(1, 3, 65, 49)
    with torch.no_grad():
        expected, found = plain(image), fast(image)
    assert calls == [2, 3]
    assert ((found - expected).abs().max() / expected.abs().max()).item() < 1e-5
