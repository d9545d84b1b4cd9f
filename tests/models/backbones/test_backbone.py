import pytest
import torch
from torch import nn

from mmseg_gc.errors import UserError
from mmseg_gc.models import MobileNetV2, ResNeSt, ResNet

KINDS = {
    "ResNet": lambda **keys: ResNet(18, base_channels=8, stem_channels=8, **keys),
    "ResNeSt": lambda **keys: ResNeSt(50, base_channels=8, stem_channels=8, **keys),
    "MobileNetV2": lambda **keys: MobileNetV2(0.25, **keys),
}


@pytest.fixture(params=KINDS)
def build(request):
    return KINDS[request.param]


def test_frozen_stages_and_norms_keep_as_they_are(build) -> None:
    model = build(frozen_stages=1, norm_eval=False).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    sum(x.sum() for x in model(torch.randn(2, 3, 64, 64))).backward()
    stem = ("stem", "conv1", "bn1", "layer1")
    for key, parameter in model.named_parameters():
        assert parameter.requires_grad != key.startswith(stem), key
        assert (parameter.grad is None) == key.startswith(stem), key
    for key, value in model.state_dict().items():
        if key.endswith("running_mean"):
            assert torch.equal(value, before[key]) == key.startswith(stem), key
    norms = [m for m in build(norm_eval=True).train().modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms and not any(norm.training for norm in norms)


def test_blocks_computed_twice_learn_the_same(build) -> None:
    torch.manual_seed(0)
    plain, again = build().train(), build(with_cp=True).train()
    again.load_state_dict(plain.state_dict())
    images = torch.randn(2, 3, 64, 64)
    for model in (plain, again):
        model(images)[-1].square().mean().backward()
    for (key, one), other in zip(plain.named_parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, msg=key)
    seen = []
    block = next(m for m in again.modules() if getattr(m, "with_cp", False) and m is not again)
    block.register_forward_hook(lambda *_: seen.append(torch.is_grad_enabled()))
    inner = next(m for m in block.modules() if isinstance(m, nn.Conv2d))
    count = []
    inner.register_forward_hook(lambda *_: count.append(1))
    again(images.requires_grad_())[-1].sum().backward()
    assert len(count) == 2


def test_weights_are_read_strictly(build, tmp_path) -> None:
    model = build()
    path = tmp_path / "backbone.pth"
    weights = {f"backbone.{key}": value + 1 for key, value in model.state_dict().items()}
    torch.save(weights, path)
    read = build(pretrained=str(path))
    read.init_weights()
    for key, value in read.state_dict().items():
        assert torch.equal(value, weights[f"backbone.{key}"]), key
    key = next(key for key in weights if "layer2" in key and key.endswith("weight"))
    torch.save({name: value for name, value in weights.items() if name != key}, path)
    with pytest.raises(UserError, match="layer2"):
        build(init_cfg=dict(type="Pretrained", checkpoint=str(path))).init_weights()
    with pytest.raises(UserError, match="takes either `pretrained` or `init_cfg`"):
        build(pretrained="a.pth", init_cfg=dict(type="Pretrained", checkpoint="b.pth"))
