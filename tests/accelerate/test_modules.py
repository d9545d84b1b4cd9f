import copy
import weakref
from typing import Any

import pytest
import torch
from mmcv.cnn import ConvModule
from torch import nn

from mmseg_gc.accelerate import modules
from mmseg_gc.accelerate.cpu import attention
from mmseg_gc.accelerate.modules import (
    FAST,
    FastBasicBlock,
    FastBottleneck,
    FastConvModule,
    FastFCNHead,
    FastGCHead,
)
from mmseg_gc.accelerate.replacement import replace
from mmseg_gc.models import EncoderDecoder, FCNHead, GCHead, ResNet, ResNetV1c, ResNetV1d, ResNeXt
from mmseg_gc.models.backbones.res_blocks import BasicBlock, Bottleneck
from mmseg_gc.models.decode_heads.da_head import PositionAttention
from mmseg_gc.models.layers import ContextBlock, DisentangledNonLocal2d, NonLocal2d, ResLayer

BLOCKS = (FastBasicBlock, FastBottleneck)
PLUGIN = dict(
    cfg=dict(type="ContextBlock", ratio=1 / 4),
    position="after_conv3",
    stages=(False, True, False, False),
)
SECOND_PLUGIN = {
    **PLUGIN,
    "cfg": dict(type="ContextBlock", ratio=1 / 4, postfix=2),
    "position": "after_conv1",
}


def trained(model: nn.Module) -> nn.Module:
    """With running statistics as after some training."""
    for name, buffer in model.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
        elif name.endswith("running_mean"):
            buffer.normal_(0, 0.2)
    return model.eval().requires_grad_(False)


def fast(model: nn.Module) -> nn.Module:
    copied = nn.ModuleList([copy.deepcopy(model).to(memory_format=torch.channels_last)])
    replace(copied, FAST)
    return copied[0]


@pytest.mark.parametrize(
    "options",
    [
        dict(depth=18),  # its first stage has no shortcut of its own
        dict(depth=50, strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)),
        dict(depth=50, avg_down=True, style="caffe", deep_stem=True),
        dict(depth=50, plugins=[PLUGIN, SECOND_PLUGIN]),
        dict(depth=18, norm_cfg=dict(type="GN", num_groups=4)),
    ],
)
def test_all_feature_maps_stay_the_same(options: dict) -> None:
    model = trained(ResNet(base_channels=8, stem_channels=8, zero_init_residual=False, **options))
    for name, parameter in model.named_parameters():
        if "channel_add_conv.3" in name:
            nn.init.normal_(parameter)
    quick = fast(model)
    count = sum(isinstance(module, BLOCKS) for module in quick.modules())
    assert count == (8 if options["depth"] == 18 else 16)
    x = torch.randn(2, 3, 65, 49).to(memory_format=torch.channels_last)
    kept = x.clone()
    pairs = list(zip(quick(x), model(x), strict=True))
    assert len(pairs) == 4 and torch.equal(x, kept)
    for found, expected in pairs:
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [BasicBlock, Bottleneck])
def test_only_its_own_stage_lets_a_block_write_over_its_input(kind: type[nn.Module]) -> None:
    block = trained(kind(32, 32 // kind.expansion))
    quick, x = fast(block), torch.randn(1, 32, 9, 9).to(memory_format=torch.channels_last)
    kept = x.clone()
    expected = block(x)
    torch.testing.assert_close(quick(x), expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(x, kept)
    out = quick(x, owns_input=True)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
    assert out.data_ptr() == x.data_ptr()


def test_what_a_hook_saw_of_a_stage_is_not_written_over() -> None:
    model = trained(ResNet(18, base_channels=8, stem_channels=8, zero_init_residual=False))
    quick, seen = fast(model), []
    block = quick.layer1[0]
    block.register_forward_hook(lambda module, args, out: seen.append((out, out.clone())))
    quick(torch.randn(1, 3, 64, 64))
    assert len(seen) == 1 and torch.equal(*seen[0])


@pytest.mark.parametrize("kind", [BasicBlock, Bottleneck])
def test_in_training_a_block_is_the_plain_one(kind: type[nn.Module]) -> None:
    block = kind(16, 16 // kind.expansion)
    quick = fast(block).train()
    x = torch.randn(4, 16, 5, 5)
    torch.testing.assert_close(quick(x), block.train()(x), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(quick.bn1.running_var, block.bn1.running_var)
    assert quick.bn1.num_batches_tracked == 1


HEAD = dict(in_channels=6, channels=8, num_classes=3, norm_cfg=dict(type="BN"))


@pytest.mark.parametrize("size", [(5, 7), (33, 40)])
@pytest.mark.parametrize("kind", [FCNHead, GCHead])
@pytest.mark.parametrize(
    "more",
    [
        {},
        dict(concat_input=False),
        dict(kernel_size=1),
        dict(dilation=2),
        dict(norm_cfg=None),
        dict(act_cfg=dict(type="LeakyReLU")),
        dict(input_transform="resize_concat", in_index=(0, 1), in_channels=(2, 4)),
    ],
)
def test_heads_read_their_input_once(
    kind: type[nn.Module], more: dict, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    head = trained(kind(**{**HEAD, **more}))
    for name, parameter in head.named_parameters():
        if "channel_add_conv.3" in name:
            nn.init.normal_(parameter)
    quick = fast(head)
    assert type(quick) is (FastGCHead if kind is GCHead else FastFCNHead)
    if isinstance(head.in_channels, int) and "input_transform" in more:
        inputs = [torch.randn(2, 2, *size), torch.randn(2, 4, 3, 3)]
    else:
        inputs = [torch.randn(2, 6, *size)]
    kept = [x.clone() for x in inputs]
    expected = head(inputs)
    plain = []
    monkeypatch.setattr(kind, "forward", lambda self, x: plain.append(0) or expected)
    largest = expected.abs().max().item()
    torch.testing.assert_close(quick(inputs), expected, rtol=1e-4, atol=1e-5 * max(1, largest))
    assert all(map(torch.equal, inputs, kept)) and len(inputs) == len(kept)
    left_alone = {"concat_input", "act_cfg"} | ({"dilation"} if "dilation" in more else set())
    assert bool(plain) == bool(left_alone & more.keys())


def test_conv_module_keeps_its_switches() -> None:
    module = trained(ConvModule(4, 8, 3, padding=1, norm_cfg=dict(type="BN")))
    quick, x = fast(module), torch.randn(1, 4, 9, 9)
    assert type(quick) is FastConvModule
    for options in ({}, dict(activate=False), dict(norm=False), dict(activate=False, norm=False)):
        torch.testing.assert_close(quick(x, **options), module(x, **options), rtol=1e-5, atol=1e-5)
    other = trained(ConvModule(4, 8, 3, padding=1, order=("act", "conv", "norm")))
    torch.testing.assert_close(fast(other)(x), other(x))
    mirrored = trained(ConvModule(4, 8, 3, padding=1, padding_mode="reflect"))
    torch.testing.assert_close(fast(mirrored)(x), mirrored(x))


def test_memory_goes_back_before_the_widest_maps_and_after_them(monkeypatch) -> None:
    """Once before the shortcut that widens, once after the stage, and once before the stem."""
    given_back = []
    monkeypatch.setattr(modules, "WIDE", 32)
    monkeypatch.setattr(modules, "LARGE", 4 * 32 * 4 * 4)
    monkeypatch.setattr(modules, "give_back_memory", lambda: given_back.append(0))
    # 16 channels and 32, and these on a map too small to make the most of a run.
    for planes, side, times in ((4, 8, 0), (8, 3, 0), (8, 4, 2)):
        stage = nn.Sequential(trained(ResLayer(Bottleneck, 8, planes, 3)))
        replace(stage, FAST)
        given_back.clear()
        with torch.no_grad():
            stage(torch.zeros(1, 8, side, side))
        assert len(given_back) == times
    modules._make_room(torch.zeros(1, 8, 4, 4, dtype=torch.bfloat16), 32)  # takes half as much
    assert len(given_back) == 2

    backbone = fast(trained(ResNet(depth=50, base_channels=1, strides=(1, 2, 1, 1))))
    assert backbone.feat_dim == 32
    for width, times in ((31, 0), (32, 1)):  # 32 channels of 4x4 pixels are the least
        given_back.clear()
        with torch.no_grad():
            next(backbone.stage_maps(torch.zeros(1, 3, 32, width)))
        assert len(given_back) == times


@pytest.mark.parametrize("kind", [ResNet, ResNetV1c, ResNetV1d, ResNeXt])
def test_a_stage_lets_go_of_its_input(kind: type[ResNet], monkeypatch) -> None:
    """When its first block has read it, and the head doesn't: it is as large as the stage's own."""
    held, seen = [], []
    forward = FastBottleneck.forward

    def noted(block: nn.Module, x: torch.Tensor, owns_input: bool = False) -> torch.Tensor:
        if owns_input:  # a later block
            held.append(seen[-1]() is not None)
        else:
            seen.append(weakref.ref(x))
        return forward(block, x, owns_input)

    monkeypatch.setattr(FastBottleneck, "forward", noted)
    plain = trained(kind(depth=50, base_channels=8, stem_channels=8))
    model, x = nn.Module(), torch.randn(1, 3, 64, 64)
    model.backbone, model.decode_head = fast(plain), nn.Module()
    model.stages_read = (1, 3)
    model._decode_heads = list
    with torch.no_grad():
        maps = EncoderDecoder._head_features(model, x)
        expected = plain(x)
    # The second stage's map is the third one's input.
    assert held == [False] * 2 + [False] * 3 + [True] * 5 + [False] * 2
    for number, found in enumerate(maps):
        assert (found is None) == (number not in model.stages_read)
        if found is not None:
            torch.testing.assert_close(found, expected[number], rtol=1e-4, atol=1e-4)


def test_a_stage_with_a_hook_is_called() -> None:
    backbone = fast(trained(ResNet(depth=50, base_channels=4)))
    seen = []
    backbone.layer3.register_forward_hook(lambda layer, args, out: seen.append(out.shape))
    with torch.no_grad():
        maps = backbone(torch.randn(1, 3, 32, 32))
    assert seen == [maps[2].shape]


@pytest.mark.parametrize("fusion_types", [("channel_add",), ("channel_mul", "channel_add")])
def test_context_is_written_over_what_nobody_else_reads(fusion_types: tuple[str, ...]) -> None:
    plain = ContextBlock(8, 1 / 4, fusion_types=fusion_types).requires_grad_(False)
    for parameter in plain.parameters():
        parameter.normal_()
    quick, x = fast(plain), torch.randn(2, 8, 5, 6)
    kept, expected = x.clone(), plain(x)
    torch.testing.assert_close(quick(x), expected)
    assert torch.equal(x, kept)
    over = quick(x, owns_input=True)
    torch.testing.assert_close(over, expected)
    assert over.data_ptr() == x.data_ptr() and torch.equal(over, x)


def test_a_head_writes_over_what_it_alone_has_seen(monkeypatch) -> None:
    """The context onto the first convolution's output, the last convolution onto its other half."""
    head = fast(trained(GCHead(in_channels=8, channels=4, num_classes=3)))
    done = []

    def note(owner: object, name: str, option: str) -> None:
        function = getattr(owner, name)

        def noted(*args: Any, **options: Any) -> torch.Tensor:
            done.append((name, options.get(option, False)))
            return function(*args, **options)

        monkeypatch.setattr(owner, name, noted)

    note(modules, "convolve", "overwrite")
    note(modules.FastContextBlock, "forward", "owns_input")
    with torch.no_grad():
        head([torch.randn(1, 8, 6, 6)])
    assert done == [("convolve", False), ("forward", True), ("convolve", True)]


@pytest.mark.parametrize("keys", [1, 10**6])
@pytest.mark.parametrize(
    ("make", "dtype"),
    [
        (lambda: NonLocal2d(32), torch.bfloat16),
        (lambda: DisentangledNonLocal2d(in_channels=32, temperature=0.05), torch.bfloat16),
        (lambda: PositionAttention(32, 4), torch.float32),
    ],
)
def test_attention_goes_some_queries_at_a_time(
    make, dtype: torch.dtype, keys: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, x = make().to(dtype), torch.randn(2, 32, 9, 11).to(dtype)
    for parameter in plain.parameters():
        torch.nn.init.normal_(parameter, 0, 0.2)
    module = fast(plain.eval().requires_grad_(False))
    calls, attend = [], attention.attend
    monkeypatch.setattr(attention, "MANY_KEYS", keys)
    monkeypatch.setattr(attention, "attend", lambda *args: calls.append(0) or attend(*args))
    found, expected = module(x).double(), plain(x).double()
    assert (found - expected).norm() < (1e-5 if dtype is torch.float32 else 0.02) * expected.norm()
    assert len(calls) == (1 if keys == 1 else 0)


def test_the_matrix_of_all_pairs_is_not_held() -> None:
    plain = PositionAttention(32, 4)
    assert plain.held_numbers(8192) == 8192**2
    assert fast(plain).held_numbers(8192) == 2 * attention.QUERIES * 8192
    assert fast(plain).held_numbers(10) == 100
