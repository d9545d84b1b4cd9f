import pytest
import torch
from torch import nn

from mmseg_gc.errors import UserError
from mmseg_gc.models import DNLHead

SMALL = dict(in_channels=6, channels=8, num_classes=3, dropout_ratio=0)


def test_the_block_stands_between_the_convolutions() -> None:
    head = DNLHead(**SMALL, concat_input=False, temperature=0.5).eval()
    nn.init.normal_(head.dnl_block.conv_out.conv.weight)
    assert head.dnl_block.temperature == 0.5
    x = torch.randn(2, 6, 5, 4)
    hidden = head.convs[1](head.dnl_block(head.convs[0](x)))
    torch.testing.assert_close(head([x]), head.conv_seg(hidden))


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [(dict(mode="l2"), "no mode='l2'; choose"), (dict(temperature=0), "temperature=0 divides")],
)
def test_bad_input(keys: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        DNLHead(**SMALL, **keys)
