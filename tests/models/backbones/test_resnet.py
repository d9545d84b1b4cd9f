import pytest
import torch
from torch import nn

from mmseg_gc.errors import UserError
from mmseg_gc.models import ResNet, ResNetV1c, ResNetV1d
from mmseg_gc.models.backbones.res_blocks import BasicBlock, Bottleneck

NARROW = dict(stem_channels=8, base_channels=8)
D8 = dict(strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4))
GC = dict(
    cfg=dict(type="ContextBlock", ratio=1 / 4),
    stages=(False, True, True, True),
    position="after_conv3",
)


@pytest.mark.parametrize(
    ("depth", "block", "blocks", "million"),
    [
        # Millions as published, less the classifier's: 0.513 at depths 18 and 34, else 2.049.
        (18, BasicBlock, (2, 2, 2, 2), 11.176512),
        (34, BasicBlock, (3, 4, 6, 3), 21.284672),
        (50, Bottleneck, (3, 4, 6, 3), 23.508032),
        (101, Bottleneck, (3, 4, 23, 3), 42.500160),
        (152, Bottleneck, (3, 8, 36, 3), 58.143808),
    ],
)
def test_depths(depth: int, block: type, blocks: tuple[int, ...], million: float) -> None:
    with torch.device("meta"):
        model = ResNet(depth)
    assert tuple(len(getattr(model, name)) for name in model.res_layers) == blocks
    assert all(isinstance(m, block) for m in model.layer3)
    assert sum(p.numel() for p in model.parameters()) == round(million * 1e6)
    assert model.feat_dim == 512 * block.expansion


@pytest.mark.parametrize(
    ("options", "shapes"),
    [
        ({}, [(8, 16, 24), (16, 8, 12), (32, 4, 6), (64, 2, 3)]),
        (D8, [(8, 16, 24), (16, 8, 12), (32, 8, 12), (64, 8, 12)]),
        (dict(out_indices=(1, 3)), [(16, 8, 12), (64, 2, 3)]),
        (
            dict(num_stages=2, strides=(1, 2), dilations=(1, 1), out_indices=(1,)),
            [(16, 8, 12)],
        ),
    ],
)
def test_shapes_of_64_by_96(options: dict, shapes: list[tuple[int, ...]]) -> None:
    outs = ResNet(18, **NARROW, **options).eval()(torch.randn(2, 3, 64, 96))
    assert [tuple(out.shape) for out in outs] == [(2, *shape) for shape in shapes]


def test_a_subclass_may_have_a_forward_of_its_own() -> None:
    class Doubled(ResNetV1c):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tuple(2 * out for out in super().forward(x))

    model = Doubled(18, **NARROW, out_indices=(0, 3)).eval()
    x = torch.randn(1, 3, 32, 32)
    first, last = model(x)
    plain = ResNetV1c.forward(model, x)
    assert torch.equal(first, 2 * plain[0]) and torch.equal(last, 2 * plain[1])


def test_dilations_of_d8_with_contraction() -> None:
    model = ResNetV1c(50, **NARROW, **D8, contract_dilation=True)
    dilations = [[b.conv2.dilation[0] for b in getattr(model, name)] for name in model.res_layers]
    assert dilations == [[1] * 3, [1] * 4, [1] + [2] * 5, [2, 4, 4]]


def test_multi_grid_is_for_the_last_stage() -> None:
    model = ResNet(50, **NARROW, **D8, multi_grid=(4, 8, 16))
    assert [b.conv2.dilation[0] for b in model.layer4] == [4, 8, 16]
    assert {b.conv2.dilation[0] for b in model.layer3} == {2}


def test_stems_and_shortcuts_of_the_variants() -> None:
    plain, v1c, v1d = (kind(18, **NARROW) for kind in (ResNet, ResNetV1c, ResNetV1d))
    assert plain.conv1.weight.shape == (8, 3, 7, 7)
    for model in (v1c, v1d):
        shapes = [tuple(m.weight.shape) for m in model.stem if isinstance(m, nn.Conv2d)]
        assert shapes == [(4, 3, 3, 3), (4, 4, 3, 3), (8, 4, 3, 3)]
        assert [m.stride[0] for m in model.stem if isinstance(m, nn.Conv2d)] == [2, 1, 1]
        assert not hasattr(model, "conv1")
    assert [key for key in v1c.state_dict() if key.endswith("weight") and "stem" in key] == [
        f"stem.{i}.weight" for i in (0, 1, 3, 4, 6, 7)
    ]
    assert [type(m) for m in v1c.layer2[0].downsample] == [nn.Conv2d, nn.BatchNorm2d]
    assert [type(m) for m in v1d.layer2[0].downsample] == [nn.AvgPool2d, nn.Conv2d, nn.BatchNorm2d]


def test_plugins_stand_in_their_stages_only() -> None:
    state = ResNet(50, **NARROW, plugins=[GC]).state_dict()
    blocks = {key.rsplit(".context_block", 1)[0] for key in state if "context_block" in key}
    counts = {stage: sum(b.startswith(f"layer{stage}.") for b in blocks) for stage in (1, 2, 3, 4)}
    assert counts == {1: 0, 2: 4, 3: 6, 4: 3}
    assert state["layer3.5.context_block.channel_add_conv.3.weight"].shape == (128, 32, 1, 1)
    everywhere = ResNet(50, **NARROW, plugins=[{k: v for k, v in GC.items() if k != "stages"}])
    assert "layer1.0.context_block.conv_mask.weight" in everywhere.state_dict()


def test_fresh_plugins_leave_a_backbone_as_it_is() -> None:
    torch.manual_seed(1)
    plugged = ResNet(50, **NARROW, plugins=[GC])
    plugged.init_weights()
    plain = ResNet(50, **NARROW)
    plain.load_state_dict(
        {key: v for key, v in plugged.state_dict().items() if "context_block" not in key}
    )
    x = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(plugged.eval()(x), plain.eval()(x), rtol=0, atol=0)


@pytest.mark.parametrize("kind", [ResNet, ResNetV1c])
def test_frozen_stages(kind: type[ResNet]) -> None:
    model = kind(18, **NARROW, frozen_stages=1)
    assert model.train() is model
    learning = {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad}
    assert learning == {"layer2", "layer3", "layer4"}
    modes = {name.split(".")[0]: m.training for name, m in model.named_modules() if "bn" in name}
    assert not modes["layer1"] and modes["layer2"]
    before = model.layer1[0].bn1.running_mean.clone()
    model(torch.randn(2, 3, 32, 32))[-1].sum().backward()
    assert torch.equal(model.layer1[0].bn1.running_mean, before)
    assert not torch.equal(model.layer2[0].bn1.running_mean, before[0].new_zeros(16))


def test_norm_eval_keeps_statistics_but_learns_weights() -> None:
    model = ResNet(18, **NARROW, norm_eval=True).train()
    model(torch.randn(2, 3, 32, 32))[-1].sum().backward()
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(m.running_mean.eq(0).all() and not m.training for m in norms)
    assert all(m.weight.grad is not None for m in norms)
    assert model.layer4.training


def test_norm_cfg_without_gradients() -> None:
    model = ResNet(18, **NARROW, norm_cfg=dict(type="BN", requires_grad=False))
    assert not model.bn1.weight.requires_grad and model.conv1.weight.requires_grad


def test_sync_bn_is_built_without_processes() -> None:
    model = ResNetV1c(18, **NARROW, norm_cfg=dict(type="SyncBN", requires_grad=True))
    assert isinstance(model.stem[1], nn.SyncBatchNorm)


@pytest.mark.parametrize(("depth", "last"), [(18, "bn2"), (50, "bn3")])
def test_initial_weights(depth: int, last: str) -> None:
    model = ResNet(depth, base_channels=32)
    model.init_weights()
    conv = model.layer3[0].conv2.weight  # Kaiming, by fan out: 128 outputs of 3x3.
    assert conv.std().item() == pytest.approx((2 / (9 * conv.shape[0])) ** 0.5, rel=0.02)
    assert model.layer3[0].bn1.weight.eq(1).all()
    assert getattr(model.layer3[0], last).weight.eq(0).all()
    full = ResNet(depth, **NARROW, zero_init_residual=False)
    full.init_weights()
    assert getattr(full.layer3[0], last).weight.eq(1).all()


@pytest.mark.parametrize("spelling", ["pretrained", "init_cfg"])
def test_pretrained_weights_are_loaded(spelling: str, tmp_path) -> None:
    path = str(tmp_path / "weights.pth")
    source = ResNet(18, **NARROW)
    torch.save({"state_dict": source.state_dict()}, path)
    value = path if spelling == "pretrained" else dict(type="Pretrained", checkpoint=path)
    model = ResNet(18, **NARROW, **{spelling: value})
    model.init_weights()
    torch.testing.assert_close(model.state_dict(), source.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(depth=20), "depth=20.*18, 34, 50, 101, 152"),
        (dict(num_stages=5), "num_stages=5"),
        (dict(strides=(1, 2, 2)), r"strides=\(1, 2, 2\).*num_stages=4"),
        (dict(dilations=(1, 1)), r"dilations=\(1, 1\)"),
        (dict(out_indices=(0, 4)), r"out_indices=\(0, 4\).*0 to 3"),
        (dict(dcn=dict(type="DCN"), stage_with_dcn=(True,)), "stage_with_dcn"),
        (dict(depth=50, plugins=[{**GC, "stages": (True,)}]), r"plugins\[0\].stages"),
        (dict(pretrained="a.pth", init_cfg=dict(type="Kaiming")), "either `pretrained`"),
    ],
)
def test_wrong_options(options: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        ResNet(**{"depth": 18, **NARROW, **options})


@pytest.mark.parametrize(("depth", "blocks"), [(18, 8), (50, 16)])
@pytest.mark.parametrize("with_cp", [False, True])
def test_with_cp_computes_every_block_once_more(depth: int, blocks: int, with_cp: bool) -> None:
    model = ResNet(depth, **NARROW, with_cp=with_cp)
    calls = []
    for name in model.res_layers:
        for block in getattr(model, name):
            block.conv2.register_forward_hook(lambda *call: calls.append(call[0]))
    out = model(torch.randn(2, 3, 32, 32))[-1]
    assert len(calls) == blocks
    out.sum().backward()
    assert len(calls) == blocks * (2 if with_cp else 1)
