import numpy as np
import pytest
import torch
from torch import nn

from mmseg_gc.errors import UserError
from mmseg_gc.models import ResNeSt
from mmseg_gc.models.backbones.resnest import SplitAttentionConv2d

CFGS = dict(stride=1, dilation=1, reduction_factor=4, conv_cfg=None, norm_cfg=dict(type="BN"))


@pytest.mark.parametrize(("radix", "groups"), [(2, 1), (3, 2), (1, 1)])
def test_splits_are_weighed_by_what_their_mean_asks_for(radix: int, groups: int) -> None:
    layer = SplitAttentionConv2d(12, groups=groups, radix=radix, **CFGS).eval()
    x = torch.randn(2, 12, 5, 6)
    with torch.no_grad():
        found = layer(x).numpy()
        seen = layer.bn0(layer.conv(x)).relu()
        splits = seen.numpy().reshape(2, radix, 12, 5, 6)
        mean = torch.tensor(splits.sum(axis=1).mean(axis=(2, 3)))[:, :, None, None]
        asked = layer.fc2(layer.bn1(layer.fc1(mean)).relu()).numpy()
    # Of each group: first all weights of the first split, then those of the second.
    asked = asked.reshape(2, groups, radix, 12 // groups)
    if radix == 1:
        weights = 1 / (1 + np.exp(-asked))
    else:
        weights = np.exp(asked) / np.exp(asked).sum(axis=2, keepdims=True)
    weights = weights.transpose(0, 2, 1, 3).reshape(2, radix, 12, 1, 1)
    np.testing.assert_allclose(found, (weights * splits).sum(axis=1), rtol=1e-4, atol=1e-5)


def test_d8_strides_and_dilations() -> None:
    model = ResNeSt(
        50, stem_channels=8, base_channels=8, strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)
    )
    maps = model.eval()(torch.randn(1, 3, 64, 96))
    assert [tuple(x.shape[1:]) for x in maps] == [
        (32, 16, 24),
        (64, 8, 12),
        (128, 8, 12),
        (256, 8, 12),
    ]
    assert model.layer4[1].conv2.conv.dilation == (4, 4)
    # The block that strides pools, with every split still seen at the full size.
    first = model.layer2[0]
    assert isinstance(first.avd_layer, nn.AvgPool2d) and first.conv2.conv.stride == (1, 1)
    assert not any("bn2" in key for key in model.state_dict())
    strided = ResNeSt(50, stem_channels=8, base_channels=8, avg_down_stride=False)
    assert strided.layer2[0].conv2.conv.stride == (2, 2)


def test_bad_input() -> None:
    with pytest.raises(UserError, match="radix and a reduction_factor from 1 on, not radix=0"):
        ResNeSt(50, radix=0)
    with pytest.raises(UserError, match="ResNeSt has no depth=18; choose one of 50, 101, 152, 200"):
        ResNeSt(18)
    with pytest.raises(UserError, match="ResNeSt takes no `dcn`"):
        ResNeSt(50, dcn=dict(type="DCN"), stage_with_dcn=(True,) * 4)
