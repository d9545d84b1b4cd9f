import pytest
import torch
from torch import nn

from mmseg_gc.errors import UserError
from mmseg_gc.models import FPN


def test_deeper_maps_come_down() -> None:
    neck = FPN(in_channels=[1, 1], out_channels=1, num_outs=3)
    for name in ("lateral_convs", "fpn_convs"):
        setattr(neck, name, nn.ModuleList(nn.Identity() for _ in range(2)))
    shallow, deep = torch.zeros(1, 1, 4, 4), torch.tensor([[[[1.0, 2], [3, 4]]]])
    outs = neck([shallow, deep])
    assert outs[0][0, 0].tolist() == [[1, 1, 2, 2]] * 2 + [[3, 3, 4, 4]] * 2
    assert torch.equal(outs[1], deep) and outs[2].tolist() == [[[[1.0]]]]


def test_bad_input() -> None:
    with pytest.raises(UserError, match=r"num_outs=1 is less than the 2 maps of in_channels"):
        FPN(in_channels=[1, 1], out_channels=1, num_outs=1)
    with pytest.raises(UserError, match=r"in_channels=\[1, 1\] are of 2 maps, .* out_indices"):
        FPN(in_channels=[1, 1], out_channels=1, num_outs=2)([torch.zeros(1, 1, 4, 4)])
