import copy
import io
import pickle
from collections.abc import Callable

import pytest
import torch
from mmengine.model import revert_sync_batchnorm
from torch import nn

from mmseg_gc import environment
from mmseg_gc.accelerate import prepare, prepare_for_inference, prepare_for_training
from mmseg_gc.accelerate.cpu import operators, winograd
from mmseg_gc.accelerate.modules import FastGCHead
from mmseg_gc.errors import UserError
from mmseg_gc.models import SegTTAModel
from mmseg_gc.registry import MODELS

Cfg = Callable[..., dict]
ENCODING = dict(type="EncHead", num_codes=4)
DEEPLAB = dict(type="DepthwiseSeparableASPPHead", in_channels=64, in_index=3, dilations=(1, 2))
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


def output(model: nn.Module, image: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(image)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_norms_that_mmengine_made_are_folded_too(gcnet_cfg: Cfg, precision: str) -> None:
    """As those of programs that call mmengine's ``revert_sync_batchnorm``."""
    cfg = gcnet_cfg()
    cfg["backbone"]["norm_cfg"] = cfg["decode_head"]["norm_cfg"] = dict(type="SyncBN")
    reverted = revert_sync_batchnorm(trained(cfg)).eval()
    norm = reverted.backbone.layer1[0].norm1
    assert not isinstance(norm, nn.BatchNorm2d | nn.SyncBatchNorm)
    fast = prepare_for_inference(copy.deepcopy(reverted), precision=precision)
    assert fast.backbone.layer1[0].norm1.running_var.dtype is torch.float32
    image = torch.randn(1, 3, 64, 64)
    with torch.profiler.profile() as profile:
        found = output(fast, image)
    assert not any("batch_norm" in event.key for event in profile.key_averages())
    expected = output(reverted, image)
    bound = {"fp32": 1e-5, "bf16": 0.1}[precision]
    assert ((found - expected).abs().max() / expected.abs().max()).item() < bound


@pytest.mark.parametrize("align_corners", [False, True])
def test_float32_stays_within_1e_4(
    gcnet_cfg: Cfg, align_corners: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = gcnet(gcnet_cfg, head=dict(align_corners=align_corners))
    fast = prepare_for_inference(copy.deepcopy(plain))
    assert type(fast.decode_head) is FastGCHead
    calls, original = [], winograd.convolve
    monkeypatch.setattr(winograd, "convolve", lambda *a, **k: calls.append(0) or original(*a, **k))
    monkeypatch.setattr(winograd, "pays", lambda *a: True)
    image = torch.randn(2, 3, 65, 49)
    expected, found = output(plain, image), output(fast, image)
    assert len(calls) > 5
    assert ((found - expected).abs().max() / expected.abs().max()).item() < 1e-5


def test_bfloat16_logits_are_float32_and_near(gcnet_cfg: Cfg) -> None:
    plain = gcnet(gcnet_cfg)
    fast = prepare_for_inference(copy.deepcopy(plain), precision="bf16")
    assert type(fast.decode_head) is FastGCHead  # it was not taken back
    image = torch.randn(1, 3, 64, 64)
    expected, found = output(plain, image), output(fast, image)
    assert found.dtype == torch.float32 and fast.backbone.stem[0].weight.dtype == torch.bfloat16
    assert fast.backbone.stem[1].running_var.dtype == torch.float32
    assert 1e-4 < ((found - expected).norm() / expected.norm()).item() < 0.05


def test_none_is_the_plain_model(gcnet_cfg: Cfg) -> None:
    plain = gcnet(gcnet_cfg)
    image = torch.randn(1, 3, 64, 64)
    kinds = [type(module) for module in plain.modules()]
    same = prepare_for_inference(copy.deepcopy(plain).train(), accelerate="none")
    assert [type(module) for module in same.modules()] == kinds and not same.training
    assert torch.equal(output(same, image), output(plain, image))
    half = prepare_for_inference(copy.deepcopy(plain), accelerate="none", precision="bf16")
    assert half.compute_dtype == torch.bfloat16 and output(half, image).dtype == torch.float32
    assert not any("Fast" in type(module).__name__ for module in half.modules())


def test_without_the_operators_convolutions_are_ordinary_ones(
    gcnet_cfg: Cfg, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operators, "missing", lambda: ("mkldnn._convolution_pointwise",))
    said = []
    monkeypatch.setattr(prepare, "print_log", lambda text, **kwargs: said.append(text))
    plain = gcnet(gcnet_cfg)
    fast = prepare_for_inference(copy.deepcopy(plain))
    assert len(said) == 1 and "this torch lacks mkldnn._convolution_pointwise" in said[0]
    image = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(output(fast, image), output(plain, image), rtol=1e-4, atol=1e-5)


def test_plugins_and_plain_heads_are_prepared_too(gcnet_cfg: Cfg) -> None:
    cfg = gcnet_cfg(auxiliary_head=None)
    block = dict(cfg=dict(type="ContextBlock", ratio=1 / 4), position="after_conv3")
    cfg["backbone"].update(depth=50, plugins=[block])
    cfg["decode_head"] = dict(
        type="FCNHead", in_channels=256, channels=16, num_classes=5, num_convs=1, concat_input=False
    )
    plain = MODELS.build(cfg).eval()
    fast = prepare_for_inference(copy.deepcopy(plain))
    image = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(output(fast, image), output(plain, image), rtol=1e-4, atol=1e-5)


def test_twice_is_once_and_a_wrapped_model_is_reached(gcnet_cfg: Cfg) -> None:
    model = trained(gcnet_cfg())
    tta = SegTTAModel(model)
    assert prepare_for_inference(tta) is tta
    head = model.decode_head
    assert type(head) is FastGCHead
    assert prepare_for_inference(model, precision="bf16") is model
    assert model.decode_head is head and model.compute_dtype == torch.float32


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_prepared_model_keeps_its_weights(gcnet_cfg: Cfg, precision: str) -> None:
    plain = gcnet(gcnet_cfg)
    fast = prepare_for_inference(copy.deepcopy(plain), precision=precision)
    state, image = fast.state_dict(), torch.randn(1, 3, 64, 64)
    assert {k: v.shape for k, v in state.items()} == {
        k: v.shape for k, v in plain.state_dict().items()
    }
    count = sum(parameter.numel() for parameter in plain.parameters())
    assert sum(parameter.numel() for parameter in fast.parameters()) == count
    other = gcnet(gcnet_cfg)
    assert not torch.allclose(output(other, image), output(plain, image), atol=1e-3)
    other.load_state_dict(state)
    bound = 1e-4 if precision == "fp32" else 0.1
    expected = output(fast, image)
    assert (output(other, image) - expected).abs().max() <= bound * expected.abs().max()


def test_weights_of_another_model_change_what_a_prepared_one_says(gcnet_cfg: Cfg) -> None:
    fast, other = prepare_for_inference(gcnet(gcnet_cfg)), gcnet(gcnet_cfg)
    image = torch.randn(1, 3, 64, 64)
    assert not torch.allclose(output(fast, image), output(other, image), atol=1e-3)
    for assign in (False, True):
        fast.load_state_dict(other.state_dict(), assign=assign)
        torch.testing.assert_close(output(fast, image), output(other, image), rtol=1e-4, atol=1e-5)


def test_copies_pickles_and_other_dtypes(gcnet_cfg: Cfg) -> None:
    fast = prepare_for_inference(gcnet(gcnet_cfg))
    image = torch.randn(1, 3, 64, 64)
    expected = output(fast, image)
    copied, pickled = copy.deepcopy(fast), pickle.loads(pickle.dumps(fast))
    for model in (copied, pickled):
        assert torch.equal(output(model, image), expected)
    with torch.no_grad():
        for parameter in fast.decode_head.parameters():
            parameter.mul_(2)
    assert torch.equal(output(copied, image), expected)
    assert not torch.allclose(output(fast, image), expected)
    for dtype, bound in ((torch.float64, 1e-4), (torch.bfloat16, 0.1)):
        cast = copy.deepcopy(copied).to(dtype)
        found = output(cast, image)
        assert found.dtype == dtype
        assert (found - expected).abs().max() <= bound * expected.abs().max()


def test_a_model_without_numbers_is_prepared_unseen(gcnet_cfg: Cfg) -> None:
    with torch.device("meta"):
        model = MODELS.build(gcnet_cfg())
    assert type(prepare_for_inference(model).decode_head) is FastGCHead
    assert model(torch.empty(1, 3, 64, 64, device="meta")).shape == (1, 5, 8, 8)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(accelerate="yes"), "no accelerate='yes'; choose auto or none"),
        (dict(precision="int8"), "no precision='int8'; choose fp32, bf16, fp16"),
        (dict(precision="fp16"), "fp16 needs a GPU"),
        (dict(compile=True), "needs a C.. compiler"),
    ],
)
def test_what_cannot_be_had(
    options: dict, words: str, gcnet_cfg: Cfg, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment.shutil, "which", lambda name: None)
    model = trained(gcnet_cfg())
    with pytest.raises(UserError, match=words):
        prepare_for_inference(model, **options)
    assert type(model.decode_head).__name__ == "GCHead"  # nothing was touched
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(precision="bf16"), "precision='bf16', which Turing can't compute in; choose fp16"),
        (dict(compile=True), "compile=True needs Triton"),
    ],
)
def test_what_a_gpu_cannot_do(options: dict, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Turing")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    monkeypatch.setattr(environment, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=words):
        prepare._check(**{"precision": "fp32", "compile": False, **options}, device_type="cuda")


@pytest.mark.slow
def test_compiled_equals_plain(gcnet_cfg: Cfg) -> None:
    plain = trained(gcnet_cfg())
    fast = prepare_for_inference(copy.deepcopy(plain), compile=True)
    with torch.no_grad():
        for size in ((64, 64), (48, 80)):
            image = torch.randn(1, 3, *size)
            torch.testing.assert_close(fast(image), plain(image), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "way",
    ["trace", "onnx by trace", "export", pytest.param("onnx by export", marks=pytest.mark.slow)],
)
def test_graphs_of_a_prepared_model_are_the_plain_ones(gcnet_cfg: Cfg, way: str) -> None:
    model = gcnet(gcnet_cfg)
    image = torch.randn(1, 3, 48, 64)
    expected = output(model, image)
    prepare_for_inference(model)
    if way == "trace":
        graph = torch.jit.trace(model, image, check_trace=False)
        assert "mkldnn" not in str(graph.inlined_graph)
        torch.testing.assert_close(graph(image), expected, rtol=0, atol=1e-5)
    elif way == "export":
        graph = torch.export.export(model, (image,))
        assert "mkldnn" not in str(graph)
        torch.testing.assert_close(graph.module()(image), expected, rtol=0, atol=1e-5)
    else:
        pytest.importorskip("onnxscript")
        runtime = pytest.importorskip("onnxruntime")
        file = io.BytesIO()
        torch.onnx.export(model, (image,), file, dynamo=way == "onnx by export", verbose=False)
        session = runtime.InferenceSession(file.getvalue())
        [logits] = session.run(None, {session.get_inputs()[0].name: image.numpy()})
        torch.testing.assert_close(torch.from_numpy(logits), expected, rtol=0, atol=1e-4)


def test_maps_that_the_head_does_not_read_are_let_go(gcnet_cfg: Cfg) -> None:
    plain = gcnet(gcnet_cfg)
    model = prepare_for_inference(copy.deepcopy(plain))
    image = torch.randn(1, 3, 64, 64)
    assert plain.stages_read is None and model.stages_read == (3,)
    seen: list[tuple] = []
    forward = model.decode_head.forward

    def look(inputs: tuple) -> torch.Tensor:
        seen.append(inputs)
        return forward(inputs)

    model.decode_head.forward = look
    with torch.no_grad():
        model.encode_decode(image, [{}])
        assert [one is None for one in seen[0]] == [True, True, True, False]
        assert all(one is not None for one in model.extract_feat(image))
        model.backbone.register_forward_hook(lambda *_: None)  # somebody looks at them
        model.encode_decode(image, [{}])
    assert all(one is not None for one in seen[1])


def test_of_a_head_that_may_read_more_all_maps_are_kept(gcnet_cfg: Cfg) -> None:
    model = gcnet(gcnet_cfg)
    model.decode_head.forward = model.decode_head.forward
    assert prepare_for_inference(model).stages_read is None


@pytest.mark.parametrize(
    ("head", "read"),
    [
        (dict(type="NLHead", in_channels=64, in_index=3), (3,)),
        (dict(type="PSPHead", in_channels=32, in_index=-2), (2,)),
        (
            dict(type="EncHead", in_channels=[16, 32, 64], in_index=[1, 2, 3], num_codes=4),
            (1, 2, 3),
        ),
        (dict(DEEPLAB, c1_in_channels=8, c1_channels=4), (0, 3)),
        (dict(DEEPLAB, c1_in_channels=0, c1_channels=0), (3,)),
    ],
)
def test_which_maps_each_head_reads(gcnet_cfg: Cfg, head: dict, read: tuple) -> None:
    cfg = gcnet_cfg()
    for key in ("ratio", "pooling_type", "fusion_types"):
        cfg["decode_head"].pop(key, None)
    cfg["decode_head"].update(head)
    plain = MODELS.build(cfg).eval()
    model = prepare_for_inference(copy.deepcopy(plain))
    assert model.stages_read == read
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        found, expected = (m.encode_decode(image, [{}]) for m in (model, plain))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_row_of_heads_reads_what_any_of_them_does(gcnet_cfg: Cfg) -> None:
    cfg = gcnet_cfg()
    second = dict(cfg["decode_head"], type="OCRHead", ocr_channels=4)
    cfg.update(
        type="CascadeEncoderDecoder", num_stages=2, decode_head=[cfg["auxiliary_head"], second]
    )
    model = prepare_for_inference(MODELS.build(cfg).eval())
    assert model.stages_read == (2, 3)


def test_a_compiled_network_calls_winograd_as_it_is(gcnet_cfg: Cfg) -> None:
    model = prepare_for_inference(gcnet(gcnet_cfg))
    image = torch.randn(1, 3, 65, 49)
    expected = output(model, image)
    calls, original = [], winograd._Images.convolve

    def convolve(self: object, kernels: list) -> None:
        calls.append(torch.compiler.is_compiling())
        original(self, kernels)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "pays", lambda *a: True)
        patch.setattr(winograd._Images, "convolve", convolve)
        model.backbone.layer4.compile(backend="eager")
        found = output(model, image)
    assert calls and not any(calls)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_what_was_made_ready_for_training_is_as_fast(gcnet_cfg: Cfg) -> None:
    """A runner makes every model ready for training, also one that is only tested."""
    plain = gcnet(gcnet_cfg)
    trained_first = prepare_for_training(copy.deepcopy(plain), device_type="cpu")
    kinds = [type(m) for m in prepare_for_inference(trained_first).modules()]
    direct = [type(m) for m in prepare_for_inference(copy.deepcopy(plain)).modules()]
    assert {type(m) for m in trained_first.modules()} & set(prepare.UNTRAINED) == set()
    assert len(kinds) == len(direct)
    losses = {"CrossEntropyLoss", "UpsampledCrossEntropyLoss"}
    assert [k for k in kinds if k.__name__ not in losses] == [
        k for k in direct if k.__name__ not in losses
    ]
