import pytest
import torch
from torch import nn

from mmseg_gc.models import FCNHead, GCHead

SMALL = dict(in_channels=6, channels=8, num_classes=3, norm_cfg=dict(type="BN"), dropout_ratio=0)


@pytest.mark.parametrize("concat_input", [True, False])
def test_context_stands_between_the_convolutions(concat_input: bool) -> None:
    head = GCHead(**SMALL, concat_input=concat_input).eval()
    nn.init.normal_(head.gc_block.channel_add_conv[3].weight)
    x = torch.randn(2, 6, 5, 5)
    hidden = head.convs[1](head.gc_block(head.convs[0](x)))
    if concat_input:
        hidden = head.conv_cat(torch.cat([x, hidden], dim=1))
    torch.testing.assert_close(head([x]), head.conv_seg(hidden))
    head.gc_block = nn.Identity()
    assert not torch.allclose(head([x]), head.conv_seg(hidden))


def test_starts_as_fcn_head() -> None:
    gc, fcn = GCHead(**SMALL).eval(), FCNHead(**SMALL).eval()
    gc.init_weights()
    missing = fcn.load_state_dict(gc.state_dict(), strict=False)
    assert not missing.missing_keys
    x = [torch.randn(2, 6, 5, 5)]
    assert torch.equal(gc(x), fcn(x))


def test_options_reach_the_block() -> None:
    head = GCHead(**SMALL, ratio=1 / 2, pooling_type="avg", fusion_types=("channel_mul",))
    assert {key for key in head.state_dict() if key.startswith("gc_block")} == {
        f"gc_block.channel_mul_conv.{i}.{kind}" for i in (0, 1, 3) for kind in ("weight", "bias")
    }
    assert head.gc_block.planes == 4
