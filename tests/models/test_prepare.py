import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from mmseg_gc.errors import UserError
from mmseg_gc.models import SegTTAModel, prepare, prepare_for_inference
from mmseg_gc.models.layers.winograd import WinogradConv2d
from mmseg_gc.registry import MODELS

Cfg = Callable[..., dict]
WIDE = dict(base_channels=64, stem_channels=16)  # R18 with convolutions that Winograd suits


def trained(cfg: dict) -> nn.Module:
    model = MODELS.build(cfg).eval()
    for name, buffer in model.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
        elif name.endswith("running_mean"):
            buffer.normal_(0, 0.2)
    for parameter in model.decode_head.gc_block.parameters():
        nn.init.normal_(parameter, std=0.1)
    return model


def gcnet(gcnet_cfg: Cfg, **more: object) -> nn.Module:
    cfg = gcnet_cfg(**more)
    cfg["backbone"].update(WIDE)
    cfg["decode_head"].update(in_channels=512, channels=128)
    cfg["auxiliary_head"].update(in_channels=256)
    return trained(cfg)


@pytest.mark.parametrize("align_corners", [False, True])
def test_float32_stays_within_1e_4(gcnet_cfg: Cfg, align_corners: bool) -> None:
    plain = gcnet(gcnet_cfg, head=dict(align_corners=align_corners))
    fast = prepare_for_inference(copy.deepcopy(plain))
    assert fast.auxiliary_head is None
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in fast.modules())
    assert sum(isinstance(m, WinogradConv2d) for m in fast.modules()) > 5
    assert isinstance(fast.decode_head.input_conv, WinogradConv2d)
    picture = torch.randn(2, 3, 65, 49)
    with torch.no_grad():
        expected, found = plain(picture), fast(picture)
    assert ((found - expected).abs().max() / expected.abs().max()).item() < 1e-5


def test_bfloat16_scores_are_float32_and_near(gcnet_cfg: Cfg) -> None:
    plain = gcnet(gcnet_cfg)
    fast = prepare_for_inference(copy.deepcopy(plain), precision="bf16")
    picture = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = plain.inference(picture, [{}])
        found = fast.inference(picture, [{}])
    assert found.dtype == torch.float32
    assert ((found - expected).norm() / expected.norm()).item() < 0.05


def test_plugins_and_plain_heads_are_prepared_too(gcnet_cfg: Cfg) -> None:
    cfg = gcnet_cfg(auxiliary_head=None)
    block = dict(cfg=dict(type="ContextBlock", ratio=1 / 4), position="after_conv3")
    cfg["backbone"].update(depth=50, plugins=[block])
    cfg["decode_head"] = dict(
        type="FCNHead", in_channels=256, channels=16, num_classes=5, num_convs=1, concat_input=False
    )
    plain = MODELS.build(cfg).eval()
    fast = prepare_for_inference(copy.deepcopy(plain))
    picture = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(fast(picture), plain(picture), rtol=1e-4, atol=1e-5)


def test_twice_is_once_and_a_wrapped_model_is_reached(gcnet_cfg: Cfg) -> None:
    model = trained(gcnet_cfg())
    tta = SegTTAModel(model)
    assert prepare_for_inference(tta) is tta
    head = model.decode_head.input_conv
    assert prepare_for_inference(model, precision="bf16") is model
    assert model.decode_head.input_conv is head and model.compute_dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(precision="int8"), "no precision='int8'; choose fp32, bf16, fp16"),
        (dict(precision="fp16"), "fp16 needs a GPU"),
        (dict(compile=True), "needs a C.. compiler"),
    ],
)
def test_what_cannot_be_had(
    options: dict, words: str, gcnet_cfg: Cfg, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare.shutil, "which", lambda name: None)
    model = trained(gcnet_cfg())
    with pytest.raises(UserError, match=words):
        prepare_for_inference(model, **options)
    assert model.auxiliary_head is not None  # nothing was touched


@pytest.mark.slow
def test_compiled_equals_plain(gcnet_cfg: Cfg) -> None:
    plain = trained(gcnet_cfg())
    fast = prepare_for_inference(copy.deepcopy(plain), compile=True)
    with torch.no_grad():
        for size in ((64, 64), (48, 80)):
            picture = torch.randn(1, 3, *size)
            torch.testing.assert_close(fast(picture), plain(picture), rtol=1e-4, atol=1e-5)
