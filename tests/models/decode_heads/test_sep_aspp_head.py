from functools import partial

import pytest
import torch
from torch import nn

from mmseg_gc.errors import UserError
from mmseg_gc.models import DepthwiseSeparableASPPHead
from mmseg_gc.registry import MODELS

Head = partial(DepthwiseSeparableASPPHead, in_channels=6, channels=4, num_classes=2)


def test_the_first_map_stands_behind_the_enlarged_pyramid() -> None:
    head = Head(c1_in_channels=3, c1_channels=2, dropout_ratio=0)
    head._pyramid = lambda inputs: inputs[-1][:, :4]
    head.sep_bottleneck = head.conv_seg = nn.Identity()
    nn.init.ones_(head.c1_bottleneck.conv.weight)
    nn.init.zeros_(head.c1_bottleneck.conv.bias)
    first, last = torch.rand(1, 3, 6, 8), torch.rand(1, 6, 1, 1)
    found = head([first, last])
    assert found.shape == (1, 6, 6, 8)
    torch.testing.assert_close(found[:, :4], last[:, :4].expand(1, 4, 6, 8))
    torch.testing.assert_close(found[:, 4:], first.sum(1, keepdim=True).expand(1, 2, 6, 8))


def test_convolutions_are_depthwise_and_pointwise() -> None:
    head = Head(c1_in_channels=0, c1_channels=0, dilations=(1, 6))
    point, atrous = head.aspp_modules
    assert point.conv.kernel_size == (1, 1)
    assert atrous.depthwise_conv.conv.groups == 6
    assert atrous.depthwise_conv.conv.dilation == (6, 6)
    assert [tuple(p.shape) for p in head.sep_bottleneck[0].parameters() if p.dim() == 4] == [
        (4, 1, 3, 3),
        (4, 4, 1, 1),
    ]


def test_one_width_without_the_other() -> None:
    with pytest.raises(UserError, match="c1_in_channels=3 and c1_channels=0 do not fit"):
        Head(c1_in_channels=3, c1_channels=0)


def test_a_width_that_the_backbone_does_not_give(gcnet_cfg) -> None:
    cfg = gcnet_cfg()
    cfg["decode_head"].update(type="DepthwiseSeparableASPPHead", c1_in_channels=256, c1_channels=4)
    with pytest.raises(UserError, match=r"decode_head.c1_in_channels=256 .* c1_in_channels=8"):
        MODELS.build(cfg)
