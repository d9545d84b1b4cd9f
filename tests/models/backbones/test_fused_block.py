import copy

import pytest
import torch
from mmcv.cnn import fuse_conv_bn
from torch import nn

from mmseg_gc.models.backbones import ResNet
from mmseg_gc.models.backbones.fused_block import FusedBlock, fuse_blocks


def count(model: nn.Module) -> int:
    return sum(isinstance(module, FusedBlock) for module in model.modules())


def folded(**options: object) -> ResNet:
    keys = dict(base_channels=8, stem_channels=8, zero_init_residual=False) | options
    model = ResNet(**keys)
    for name, buffer in model.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
        elif name.endswith("running_mean"):
            buffer.normal_(0, 0.2)
    return fuse_conv_bn(model.eval()).requires_grad_(False)


@pytest.mark.parametrize(
    "options",
    [
        dict(depth=18),  # its first stage has no shortcut of its own
        dict(depth=50, strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)),
        dict(depth=50, avg_down=True, style="caffe"),
    ],
)
def test_all_feature_maps_stay_the_same(options: dict) -> None:
    model = folded(**options)
    fast = copy.deepcopy(model)
    fuse_blocks(fast)
    assert count(fast) == (8 if options["depth"] == 18 else 16)
    x = torch.randn(2, 3, 65, 49).to(memory_format=torch.channels_last)
    kept = x.clone()
    with torch.no_grad():
        pairs = list(zip(fast(x), model(x), strict=True))
    assert len(pairs) == 4 and torch.equal(x, kept)
    for found, expected in pairs:
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_plugins_and_other_norms_stay_as_they_are() -> None:
    plugin = dict(
        cfg=dict(type="ContextBlock", ratio=1 / 4),
        position="after_conv3",
        stages=(False, True, False, False),
    )
    model = folded(depth=50, plugins=[plugin])
    fuse_blocks(model)
    assert count(model) == 12
    model = folded(depth=50, norm_cfg=dict(type="GN", num_groups=4))
    fuse_blocks(model)
    assert count(model) == 0
