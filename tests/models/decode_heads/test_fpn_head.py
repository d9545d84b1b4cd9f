import pytest
import torch
from torch import nn

from mmseg_gc.errors import UserError
from mmseg_gc.models import FPNHead

KEYS = dict(in_channels=[2, 2, 2], in_index=[0, 1, 2], channels=4, num_classes=3, dropout_ratio=0)


def test_every_map_is_doubled_up_to_the_first_ones_size_and_added() -> None:
    head = FPNHead(**KEYS, feature_strides=[4, 8, 16])
    kinds = [[type(part).__name__ for part in one] for one in head.scale_heads]
    assert kinds == [["ConvModule"], ["ConvModule", "Doubled"], ["ConvModule", "Doubled"] * 2]
    head.conv_seg = nn.Identity()
    maps = [torch.randn(1, 2, side, side) for side in (8, 4, 2)]
    outs = [one(x) for one, x in zip(head.scale_heads, maps, strict=True)]
    assert [out.shape[-1] for out in outs] == [8, 8, 8]
    torch.testing.assert_close(head(maps), outs[0] + outs[1] + outs[2])


def test_maps_of_sizes_that_are_no_double() -> None:
    head = FPNHead(**KEYS, feature_strides=[4, 8, 16])
    assert head([torch.randn(1, 2, side, side) for side in (9, 5, 3)]).shape == (1, 3, 9, 9)


@pytest.mark.parametrize("strides", [[4, 8], [8, 4, 16]])
def test_bad_input(strides: list[int]) -> None:
    with pytest.raises(UserError, match=r"feature_strides=.* and in_channels=.* do not fit"):
        FPNHead(**KEYS, feature_strides=strides)
