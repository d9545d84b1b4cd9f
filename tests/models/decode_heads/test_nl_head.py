import pytest
import torch
from torch import nn

from mmseg_gc.errors import UserError
from mmseg_gc.models import FCNHead, NLHead

SMALL = dict(in_channels=6, channels=8, num_classes=3, norm_cfg=dict(type="BN"), dropout_ratio=0)


def test_the_block_stands_between_the_convolutions() -> None:
    head = NLHead(**SMALL).eval()
    nn.init.normal_(head.nl_block.conv_out.conv.weight)
    nn.init.ones_(head.nl_block.conv_out.bn.weight)
    x = torch.randn(2, 6, 5, 4)
    hidden = head.convs[1](head.nl_block(head.convs[0](x)))
    torch.testing.assert_close(
        head([x]), head.conv_seg(head.conv_cat(torch.cat([x, hidden], dim=1)))
    )
    head.nl_block = nn.Identity()
    plain = FCNHead(**SMALL).eval()
    plain.load_state_dict(head.state_dict(), strict=True)
    torch.testing.assert_close(head([x]), plain([x]))


@pytest.mark.parametrize(
    ("keys", "says"),
    [(dict(mode="cosine"), "no mode='cosine'"), (dict(reduction=9), "reduction=9 .* channels=8")],
)
def test_bad_input(keys: dict, says: str) -> None:
    with pytest.raises(UserError, match=says):
        NLHead(**SMALL, **keys)
