import copy
import logging
from collections.abc import Callable, Sequence

import pytest
import torch
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmseg_gc.accelerate import comparison, modules, prepare, prepare_for_inference
from mmseg_gc.accelerate.modules import FastConvModule
from mmseg_gc.models import EncoderDecoder, FCNHead, ResNetV1c
from mmseg_gc.registry import MODELS

Cfg = Callable[..., dict]


class NonLocalLikeHead(FCNHead):
    """With a layer between its convolutions, as mmsegmentation's NLHead."""

    def __init__(self, **kwargs: object) -> None:
        super().__init__(num_convs=2, **kwargs)
        self.between = ConvModule(self.channels, self.channels, 1)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        x = self._transform_inputs(inputs)
        out = self.convs[1](self.between(self.convs[0](x)))
        if self.concat_input:
            out = self.conv_cat(torch.cat([x, out], dim=1))
        return self.cls_seg(out)


class HeadWithoutItsNorm(FCNHead):
    """Calls the convolution of a module, and its norm in another place."""

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        x = self._transform_inputs(inputs)
        first = self.convs[0]
        return self.cls_seg(first.norm(first.conv(x).relu()))


class TwoMapsHead(FCNHead):
    """Reads the first feature map beside that of ``in_index``."""

    def __init__(self, **kwargs: object) -> None:
        super().__init__(num_convs=1, concat_input=False, **kwargs)
        self.first = ConvModule(8, self.channels, 1)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        out = self.convs(self._transform_inputs(inputs))
        out = nn.functional.interpolate(out, size=inputs[0].shape[2:], mode="bilinear")
        return self.cls_seg(out + self.first(inputs[0]))


class TwiceHead(FCNHead):
    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        mirrored = super().forward([one.flip(3) for one in inputs]).flip(3)
        return (super().forward(inputs) + mirrored) / 2


class DoubledBackbone(ResNetV1c):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(2 * out for out in super().forward(x))


class BackwardsBlocks(nn.Module):
    """A backbone whose norms stand before its convolutions, whatever the order of its children."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=8, padding=1)
        self.bn = nn.BatchNorm2d(3)
        self.more = nn.Sequential(nn.Conv2d(8, 64, 1), nn.BatchNorm2d(64), nn.ReLU())

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.conv(self.bn(x))
        return x, x, x, self.more[2](self.more[0](x))


class Neck(nn.Module):
    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return tuple(-one for one in maps)


HEAD = dict(in_channels=64, in_index=3, channels=16, num_classes=5, norm_cfg=dict(type="BN"))


def with_statistics(model: nn.Module) -> nn.Module:
    for name, buffer in model.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
        elif name.endswith("running_mean"):
            buffer.normal_(0, 0.2)
    return model.eval()


def built(gcnet_cfg: Cfg, **parts: object) -> nn.Module:
    return with_statistics(MODELS.build(gcnet_cfg(auxiliary_head=None, **parts)))


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []

    def listen(text: str, level: int = logging.INFO, **kwargs: object) -> None:
        if level >= logging.WARNING:
            said.append(text)

    monkeypatch.setattr(prepare, "print_log", listen)
    return said


@pytest.mark.parametrize(
    "parts",
    [
        dict(decode_head=dict(type=NonLocalLikeHead, **HEAD)),
        dict(decode_head=dict(type=NonLocalLikeHead, **{**HEAD, "channels": 64})),
        dict(decode_head=dict(type=HeadWithoutItsNorm, **HEAD)),
        dict(decode_head=dict(type=TwoMapsHead, **HEAD)),
        dict(decode_head=dict(type=TwiceHead, **HEAD)),
        dict(backbone=dict(type=BackwardsBlocks)),
        dict(backbone=dict(type=BackwardsBlocks), neck=dict(type=Neck)),
        dict(neck=dict(type=Neck)),
    ],
)
def test_custom_parts_say_what_they_said(parts: dict, gcnet_cfg: Cfg, warnings: list[str]) -> None:
    plain = built(gcnet_cfg, **parts)
    fast = prepare_for_inference(copy.deepcopy(plain))
    assert not warnings
    image = torch.randn(2, 3, 72, 88)
    with torch.no_grad():
        torch.testing.assert_close(fast(image), plain(image), rtol=1e-4, atol=1e-5)
        maps = fast.extract_feat(image)
    assert all(isinstance(one, Tensor) for one in maps) and len(maps) == 4


def test_convolutions_of_a_custom_head_stay_as_they_are(gcnet_cfg: Cfg) -> None:
    head = dict(type=NonLocalLikeHead, **HEAD)
    model = built(gcnet_cfg, decode_head=head)
    conv, weight = model.decode_head.convs[0].conv, model.decode_head.convs[0].conv.weight.clone()
    prepare_for_inference(model)
    assert type(model.decode_head) is NonLocalLikeHead
    assert model.decode_head.convs[0].conv is conv and type(conv) is nn.Conv2d
    assert torch.equal(conv.weight, weight)


def test_a_custom_backbone_and_another_number_of_channels(
    gcnet_cfg: Cfg, warnings: list[str]
) -> None:
    cfg = gcnet_cfg(auxiliary_head=None, data_preprocessor=None)
    cfg["backbone"].update(type=DoubledBackbone, in_channels=5)
    plain = with_statistics(MODELS.build(cfg))
    fast = prepare_for_inference(copy.deepcopy(plain))
    assert not warnings and type(fast.decode_head) is not type(plain.decode_head)
    image = torch.randn(1, 5, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(fast(image), plain(image), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fault", ["other numbers", "nan", "raises", "shape"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_falls_back_with_a_warning_that_names_the_layer(
    fault: str,
    precision: str,
    gcnet_cfg: Cfg,
    warnings: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = FastConvModule.forward

    def wrong(self: nn.Module, x: Tensor, **kwargs: object) -> Tensor:
        out = right(self, x, **kwargs)
        if self.conv.in_channels != 80:  # the last one of the head alone
            return out
        if fault == "raises":
            raise RuntimeError("no such kernel")
        return {"other numbers": 1.5 * out, "nan": out * torch.nan, "shape": out[..., 1:]}[fault]

    monkeypatch.setattr(FastConvModule, "forward", wrong)
    monkeypatch.setattr(modules._ReadsInputOnce, "_convs_are_alike", lambda self: False)
    plain = built(gcnet_cfg)
    kinds = [type(module) for module in plain.modules()]
    model = prepare_for_inference(copy.deepcopy(plain), precision=precision)
    assert len(warnings) == 1 and "decode_head.conv_cat" in warnings[0]
    found = [type(m) for m in model.modules() if type(m) is not modules.Classifier]
    assert (
        found == [kind for kind in kinds if precision == "fp32" or kind is not None][: len(found)]
        or len(found) == len(kinds) - 1
    )
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        found, expected = model(image), plain(image)
    bound = 1e-5 if precision == "fp32" else 0.1
    assert (found - expected).abs().max() <= bound * expected.abs().max()


def test_networks_that_take_no_small_image_stay_plain(gcnet_cfg: Cfg) -> None:
    class Picky(ResNetV1c):
        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            if x.shape[2] < 96:
                raise ValueError("too small")
            return super().forward(x)

    cfg = gcnet_cfg(auxiliary_head=None)
    cfg["backbone"]["type"] = Picky
    plain = MODELS.build(cfg).eval()
    kinds = [type(module) for module in plain.modules()]
    model = prepare_for_inference(plain)
    assert [type(module) for module in model.modules()] == kinds


def test_nothing_else_changes(gcnet_cfg: Cfg) -> None:
    class Noisy(FCNHead):
        """Draws at random, and its norm counts, even in eval mode."""

        def forward(self, inputs: Sequence[Tensor]) -> Tensor:
            self.convs[0].bn.train()
            return super().forward([one + torch.rand_like(one) for one in inputs])

    model = built(gcnet_cfg, decode_head=dict(type=Noisy, **HEAD))
    model.decode_head.convs[1].eval()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    prepare_for_inference(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize("number", [torch.nan, torch.inf])
def test_weights_that_are_no_numbers(gcnet_cfg: Cfg, number: float) -> None:
    model = built(gcnet_cfg)
    with torch.no_grad():
        model.decode_head.conv_seg.weight[0, 0] = number
    model = prepare_for_inference(model)
    with torch.no_grad():
        out = model(torch.rand(1, 3, 64, 64))
    assert not out[:, 0].isfinite().all() and out[:, 1:].isfinite().all()


def test_relative_difference_by_hand() -> None:
    nan, inf = torch.nan, torch.inf
    for found, expected, wanted in (
        ([1.0, 2.0], [1.0, 2.0], 0),
        ([1.0, 2.5], [1.0, 2.0], 0.25),
        ([nan, 2.5], [nan, 2.0], 0.25),
        ([nan, 2.0], [1.0, 2.0], inf),
        ([1.0, 2.0], [nan, 2.0], inf),
        ([inf, 2.0], [inf, 2.0], 0),
        ([inf, 2.0], [-inf, 2.0], inf),
        ([0.0, 0.0], [0.0, 0.0], 0),
        ([], [], 0),
    ):
        found = comparison.relative_difference(torch.tensor(found), torch.tensor(expected))
        assert found == pytest.approx(wanted)


def test_the_segmentor_may_be_a_custom_one(gcnet_cfg: Cfg, warnings: list[str]) -> None:
    class Zeroed(EncoderDecoder):
        def extract_feat(self, inputs: Tensor) -> tuple[Tensor, ...]:
            return tuple(0 * one for one in super().extract_feat(inputs))

    cfg = gcnet_cfg()
    cfg["type"] = Zeroed
    model = prepare_for_inference(MODELS.build(cfg).eval())
    assert not warnings
    with torch.no_grad():
        out = model(torch.randn(1, 3, 64, 64))
    assert out.amax((2, 3)).sub(out.amin((2, 3))).abs().max() < 1
