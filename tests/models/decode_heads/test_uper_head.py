import torch
from torch import nn

from mmseg_gc.models import UPerHead


def test_deeper_maps_come_down() -> None:
    head = UPerHead(
        in_channels=[1, 1, 1], in_index=[0, 1, 2], channels=1, num_classes=2, dropout_ratio=0
    )
    head.lateral_convs = nn.ModuleList(nn.Identity() for _ in range(2))
    head.fpn_convs = nn.ModuleList(nn.Identity() for _ in range(2))
    head.psp_modules = nn.ModuleList()
    head.psp_modules.forward = lambda x: []
    head.bottleneck = head.fpn_bottleneck = head.conv_seg = nn.Identity()
    values = [1.0, 10.0, 100.0]
    maps = [torch.full((1, 1, s, s), v) for s, v in zip((8, 4, 2), values, strict=True)]
    found = head(maps)
    assert found.shape == (1, 3, 8, 8)
    assert found[0, :, 0, 0].tolist() == [111.0, 110.0, 100.0]


def test_the_deepest_is_pooled() -> None:
    keys = dict(in_channels=[2, 3], in_index=[0, 1], channels=4, num_classes=2)
    head = UPerHead(**keys, pool_scales=(1, 2))
    assert head.bottleneck.conv.in_channels == 3 + 2 * 4
    assert head.fpn_bottleneck.conv.in_channels == 2 * 4
