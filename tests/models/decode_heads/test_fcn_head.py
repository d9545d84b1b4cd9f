import pytest
import torch
from torch import nn

from mmseg_gc.errors import UserError
from mmseg_gc.models import FCNHead

SMALL = dict(in_channels=6, channels=4, num_classes=3, norm_cfg=dict(type="BN"), dropout_ratio=0)


def test_keys_with_and_without_the_last_convolution() -> None:
    assert [key for key in FCNHead(**SMALL).state_dict() if key.endswith("weight")] == [
        "conv_seg.weight",
        "convs.0.conv.weight",
        "convs.0.bn.weight",
        "convs.1.conv.weight",
        "convs.1.bn.weight",
        "conv_cat.conv.weight",
        "conv_cat.bn.weight",
    ]
    short = FCNHead(**SMALL, num_convs=1, concat_input=False).state_dict()
    assert {key.split(".")[0] for key in short} == {"conv_seg", "convs"}


def test_written_out() -> None:
    head = FCNHead(**SMALL, num_convs=1, dilation=2).eval()
    x = torch.randn(1, 6, 5, 5)
    hidden = (
        head.convs[0]
        .bn(nn.functional.conv2d(x, head.convs[0].conv.weight, padding=2, dilation=2))
        .relu()
    )
    both = torch.cat([x, hidden], dim=1)
    hidden = head.conv_cat.bn(
        nn.functional.conv2d(both, head.conv_cat.conv.weight, padding=1)
    ).relu()
    torch.testing.assert_close(head([x]), head.conv_seg(hidden))


def test_no_convolution() -> None:
    head = FCNHead(**{**SMALL, "channels": 6}, num_convs=0, concat_input=False)
    x = torch.randn(1, 6, 5, 5)
    assert torch.equal(head([x]), head.conv_seg(x))
    with pytest.raises(UserError, match="num_convs=0 needs channels=4 to equal in_channels=6"):
        FCNHead(**SMALL, num_convs=0)


def test_dropout_is_for_training_only() -> None:
    head = FCNHead(**{**SMALL, "dropout_ratio": 0.5, "channels": 64})
    x = [torch.randn(1, 6, 5, 5)]
    assert not torch.equal(head(x), head(x))
    head.eval()
    assert torch.equal(head(x), head(x))
