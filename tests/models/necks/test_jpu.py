import pytest
import torch

from mmseg_gc.errors import UserError
from mmseg_gc.models import JPU


def test_the_last_map_gives_way_to_one_of_the_first_ones_size() -> None:
    neck = JPU(in_channels=(2, 3, 4), mid_channels=2, dilations=(1, 2)).eval()
    maps = [torch.randn(1, c, s, s) for c, s in ((2, 8), (3, 4), (4, 2))]
    first, second, joint = neck(maps)
    assert first is maps[0] and second is maps[1]
    assert joint.shape == (1, 2 * 2, 8, 8)
    dilations = [layer[0].depthwise_conv.conv.dilation for layer in neck.dilation_layers]
    assert dilations == [(1, 1), (2, 2)]
    changed = neck([maps[0], maps[1], maps[2] + 1])[2]
    assert not torch.allclose(changed, joint)


def test_levels() -> None:
    neck = JPU(in_channels=(2, 3, 4), mid_channels=2, start_level=1, end_level=2)
    assert len(neck.conv_layers) == 1 and neck.conv_layers[0][0].conv.in_channels == 3
    with pytest.raises(UserError, match="start_level=3 and end_level=-1 name none of the 3 maps"):
        JPU(in_channels=(2, 3, 4), start_level=3)
    with pytest.raises(UserError, match="in_channels=.* are of 3 maps"):
        JPU(in_channels=(2, 3, 4))([torch.zeros(1, 2, 4, 4)])
