import torch
from torch import nn

from mmseg_gc.models import ASPPHead


def test_dilations_reach_as_far_as_they_say() -> None:
    head = ASPPHead(in_channels=1, channels=1, num_classes=2, dilations=(1, 3), dropout_ratio=0)
    for part in (head.image_pool[1], *head.aspp_modules):
        nn.init.ones_(part.conv.weight)
        nn.init.zeros_(part.conv.bias)
    head.bottleneck = head.conv_seg = nn.Identity()
    x = torch.zeros(1, 1, 9, 9)
    x[0, 0, 4, 4] = 81
    pooled, point, atrous = head([x])[0]
    torch.testing.assert_close(pooled, torch.ones(9, 9))
    assert point.nonzero().tolist() == [[4, 4]]
    assert atrous.nonzero().tolist() == [[i, j] for i in (1, 4, 7) for j in (1, 4, 7)]
