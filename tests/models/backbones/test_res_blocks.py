import pytest
import torch
from torch import nn

from mmseg_gc.errors import UserError
from mmseg_gc.models import ContextBlock
from mmseg_gc.models.backbones.res_blocks import BasicBlock, Bottleneck

GC = dict(type="ContextBlock", ratio=1 / 4)


@pytest.fixture(params=[BasicBlock, Bottleneck])
def block(request: pytest.FixtureRequest) -> nn.Module:
    planes = 8 // request.param.expansion
    return request.param(8, planes)


def test_block_is_branch_plus_input(block: nn.Module) -> None:
    block.eval()
    last = block.norm2 if isinstance(block, BasicBlock) else block.norm3
    nn.init.zeros_(last.weight)
    x = torch.randn(2, 8, 5, 5)
    assert torch.equal(block(x), x.relu())
    nn.init.constant_(last.bias, 2.0)
    torch.testing.assert_close(block(x), (x + 2).relu())


def test_basic_block_written_out() -> None:
    block = BasicBlock(4, 4, dilation=2).eval()
    x = torch.randn(1, 4, 6, 6)
    hidden = nn.functional.conv2d(x, block.conv1.weight, padding=2, dilation=2)
    hidden = block.bn1(hidden).relu()
    hidden = block.bn2(nn.functional.conv2d(hidden, block.conv2.weight, padding=1))
    torch.testing.assert_close(block(x), (hidden + x).relu())


@pytest.mark.parametrize("kind", [BasicBlock, Bottleneck])
def test_with_cp_has_the_same_outputs_and_gradients(kind: type) -> None:
    planes = 8 // kind.expansion
    plain, saving = kind(8, planes), kind(8, planes, with_cp=True)
    saving.load_state_dict(plain.state_dict())
    x = torch.randn(2, 8, 5, 5)
    grads = []
    for block in (plain, saving):
        leaf = x.clone().requires_grad_()
        out = block(leaf)
        out.square().sum().backward()
        grads.append([out, leaf.grad, *(p.grad for p in block.parameters())])
    torch.testing.assert_close(grads[0], grads[1], rtol=0, atol=0)


@pytest.mark.parametrize(("style", "strides"), [("pytorch", (1, 2)), ("caffe", (2, 1))])
def test_style_says_which_convolution_strides(style: str, strides: tuple[int, int]) -> None:
    block = Bottleneck(8, 2, stride=2, style=style)
    assert (block.conv1.stride[0], block.conv2.stride[0]) == strides


def test_groups_widen_the_block_as_in_resnext() -> None:
    block = Bottleneck(256, 64, groups=32, base_width=4, base_channels=64)
    assert block.conv2.weight.shape == (128, 4, 3, 3)  # 32 groups of 4.
    assert Bottleneck(256, 64).conv2.weight.shape == (64, 64, 3, 3)


def test_norms_are_named_after_their_kind() -> None:
    block = Bottleneck(8, 4, norm_cfg=dict(type="GN", num_groups=2))
    assert {name.split(".")[0] for name in block.state_dict()} >= {"gn1", "gn2", "gn3"}
    assert block.norm3 is block.gn3


def test_plugins_keys_and_order() -> None:
    plugins = [
        dict(cfg=GC, position="after_conv3"),
        dict(cfg={**GC, "postfix": "_b", "pooling_type": "avg"}, position="after_conv1"),
        dict(cfg={**GC, "postfix": 2}, position="after_conv3"),
    ]
    block = Bottleneck(16, 8, plugins=plugins, groups=1)
    names = [name for name, m in block.named_modules() if isinstance(m, ContextBlock)]
    assert names == ["context_block_b", "context_block", "context_block2"]
    assert (block.context_block_b.in_channels, block.context_block.in_channels) == (8, 32)
    assert plugins[0]["cfg"] == GC  # The caller's config is left alone.


def test_plugins_at_one_position_run_one_after_another() -> None:
    plugins = [
        dict(cfg={**GC, "fusion_types": ("channel_mul",), "postfix": i}, position="after_conv3")
        for i in (1, 2)
    ]
    block = Bottleneck(8, 2, plugins=plugins).eval()
    for parameter in block.bn3.parameters():
        nn.init.ones_(parameter)
    nn.init.zeros_(block.conv3.weight)  # The branch is 1 everywhere, before the plugins halve it.
    torch.testing.assert_close(block(torch.zeros(1, 8, 3, 3)), torch.full((1, 8, 3, 3), 0.25))


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        (Bottleneck, dict(style="keras"), "style='keras'.*pytorch or caffe"),
        (Bottleneck, dict(plugins=[dict(cfg=GC, position="end")]), "position='end'.*after_conv3"),
        (Bottleneck, dict(plugins=[dict(cfg=GC, position="after_conv2")] * 2), "own `postfix`"),
        (
            Bottleneck,
            dict(plugins=[dict(cfg=dict(type="Nonesuch"), position="after_conv1")]),
            "'Nonesuch' is unknown",
        ),
        (BasicBlock, dict(plugins=[dict(cfg=GC, position="after_conv2")]), "no `plugins`"),
        (BasicBlock, dict(dcn=dict(type="DCN")), "no `dcn`"),
        (BasicBlock, dict(groups=2), "groups=2"),
        (Bottleneck, dict(dcn=dict(type="DCN"), conv_cfg=dict(type="Conv2d")), "either `dcn`"),
    ],
)
def test_wrong_options(kind: type, options: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        kind(16, 4, **options)


def test_dcn_without_compiled_ops_names_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mmcv.ops", None)
    with pytest.raises(UserError, match="compiled ops.*make det"):
        Bottleneck(16, 4, dcn=dict(type="DCN"))
    falls_back = Bottleneck(16, 4, stride=2, dcn=dict(type="DCN", fallback_on_stride=True))
    assert type(falls_back.conv2) is nn.Conv2d
