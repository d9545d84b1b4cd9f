import torch
from torch import nn

from mmseg_gc.models import DepthwiseSeparableFCNHead


def test_no_activation_between_unless_asked_for() -> None:
    for act_cfg, expected in ((None, 1.0), (dict(type="ReLU"), 0.0)):
        head = DepthwiseSeparableFCNHead(
            in_channels=1,
            channels=1,
            num_classes=2,
            num_convs=1,
            concat_input=False,
            dropout_ratio=0,
            dw_act_cfg=act_cfg,
        )
        for conv in (head.convs[0].depthwise_conv.conv, head.convs[0].pointwise_conv.conv):
            nn.init.zeros_(conv.weight)
            nn.init.zeros_(conv.bias)
            conv.weight.data[0, 0, conv.kernel_size[0] // 2, conv.kernel_size[1] // 2] = -1
        head.conv_seg = nn.Identity()
        assert head([torch.ones(1, 1, 3, 3)])[0, 0, 1, 1] == expected
