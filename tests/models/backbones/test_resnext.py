import pytest
import torch

from mmseg_gc.errors import UserError
from mmseg_gc.models import ResNeXt


def test_resnext50_32x4d() -> None:
    with torch.device("meta"):
        model = ResNeXt(50, groups=32, base_width=4)
    # As published, less the classifier's 2,049,000.
    assert sum(p.numel() for p in model.parameters()) == 22_979_904
    widths = [getattr(model, name)[0].conv2.weight.shape[:2] for name in model.res_layers]
    assert widths == [(128, 4), (256, 8), (512, 16), (1024, 32)]


def test_plugins_see_the_widened_channels() -> None:
    plugin = dict(cfg=dict(type="ContextBlock", ratio=1 / 4), position="after_conv2")
    options = dict(stem_channels=16, base_channels=16, groups=4, base_width=8, plugins=[plugin])
    model = ResNeXt(50, **options).eval()
    assert model.layer1[0].context_block.in_channels == 32
    assert model(torch.randn(1, 3, 32, 32))[-1].shape == (1, 512, 1, 1)


def test_zero_init_residual_takes_effect() -> None:
    model = ResNeXt(50, stem_channels=8, base_channels=8, groups=2)
    model.init_weights()
    assert model.layer4[2].bn3.weight.eq(0).all()


def test_depths_without_bottlenecks() -> None:
    with pytest.raises(UserError, match="ResNeXt has no depth=18.*50, 101, 152"):
        ResNeXt(18)
