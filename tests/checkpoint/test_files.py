import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import load_checkpoint as mmengine_load_checkpoint
from torch import nn

from mmseg_gc import checkpoint as module
from mmseg_gc.checkpoint import (
    clean_state_dict,
    load_checkpoint,
    load_into,
    publish_checkpoint,
    save_checkpoint,
)
from mmseg_gc.errors import UserError
from mmseg_gc.registry import MODELS


class Payload:
    """Makes a file when it is unpickled by a loader that runs code."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


class Method:
    """Asks ``getattr`` for more than a history buffer's four statistics."""

    def __reduce__(self):
        return (getattr, (HistoryBuffer, "update"))


def small_model(classes=3):
    return nn.ModuleDict({"backbone": nn.Linear(2, 2), "conv_seg": nn.Conv2d(2, classes, 1)})


def test_what_training_stores_is_read_back(tmp_path):
    buffer = HistoryBuffer()
    buffer.update(1.5)
    stored = {
        "meta": {"mean": np.float64(0.5), "palette": np.arange(6).reshape(2, 3)},
        "message_hub": {"loss": buffer},
        "state_dict": OrderedDict(weight=torch.ones(2)),
    }
    save_checkpoint(stored, tmp_path / "a.pth")
    loaded = load_checkpoint(tmp_path / "a.pth")
    assert loaded["message_hub"]["loss"].statistics("mean") == 1.5
    assert loaded["meta"]["mean"] == 0.5
    assert loaded["meta"]["palette"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert torch.equal(loaded["state_dict"]["weight"], torch.ones(2))


@pytest.mark.parametrize("load", [load_checkpoint, CheckpointLoader.load_checkpoint])
@pytest.mark.parametrize("address", ["{}", "file-in-home"])
def test_a_payload_is_refused_and_never_runs(tmp_path, load, address, monkeypatch):
    trap = tmp_path / "ran"
    path = tmp_path / "evil.pth"
    torch.save({"state_dict": {"w": torch.ones(1)}, "extra": Payload(trap)}, path)
    monkeypatch.setenv("HOME", str(tmp_path))
    address = "~/evil.pth" if address == "file-in-home" else str(path)
    if load is load_checkpoint:
        address = os.path.expanduser(address)
    with pytest.raises(UserError, match="could run code.*--trust-pickle"):
        load(address)
    with pytest.raises(UserError, match="could run code"):
        mmengine_load_checkpoint(nn.Linear(1, 1), str(path))
    assert not trap.exists()
    load_checkpoint(path, trust_pickle=True)
    assert trap.exists()


def test_a_payload_in_an_old_file_without_zip_is_refused(tmp_path):
    trap = tmp_path / "ran"
    (tmp_path / "old.pth").write_bytes(pickle.dumps({"state_dict": Payload(trap)}, protocol=2))
    with pytest.raises(UserError):
        load_checkpoint(tmp_path / "old.pth")
    assert not trap.exists()


def test_getattr_is_not_among_the_allowed(tmp_path):
    torch.save({"meta": Method()}, tmp_path / "m.pth")
    with pytest.raises(UserError, match="getattr.*update"):
        load_checkpoint(tmp_path / "m.pth")


def test_every_scheme_of_mmengine_is_ours():
    loaders = {loader.__module__ for loader in CheckpointLoader._schemes.values()}
    assert loaders == {f"{module.__name__}.addresses"}


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "damaged.pth"
    save_checkpoint({"state_dict": {"w": torch.ones(100)}}, path)
    path.write_bytes(path.read_bytes()[:300] if content is None else content)
    with pytest.raises(UserError, match="damaged.pth.*truncated or damaged"):
        load_checkpoint(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="none.pth doesn't exist"):
        load_checkpoint(tmp_path / "none.pth")


def test_unknown_names_list_the_known():
    with pytest.raises(UserError, match="resnet51_v1c.*resnet50_v1c"):
        load_checkpoint("open-mmlab://resnet51_v1c")


def test_names_are_cleaned():
    weights = {"module.a": torch.ones(1), "module.module.b": torch.ones(1), "ema_a": torch.ones(1)}
    assert list(clean_state_dict({"state_dict": weights})) == ["a", "b"]
    assert list(clean_state_dict(weights)) == ["a", "b"]
    with pytest.raises(UserError, match="holds no weights"):
        clean_state_dict({"state_dict": {}})


def test_another_number_of_classes_is_said_in_one_sentence():
    with pytest.raises(UserError, match=r"a\.pth was trained for 5 classes.*num_classes=3"):
        load_into(small_model(3), small_model(5).state_dict(), source="a.pth")


def test_what_is_not_loaded_is_named(monkeypatch):
    said = []
    monkeypatch.setattr(
        "mmseg_gc.checkpoint.loading.print_log", lambda text, **_: said.append(text)
    )
    model = small_model(3)
    before = model["conv_seg"].weight.clone()
    load_into(model, small_model(5).state_dict(), source="a.pth", strict=False)
    assert torch.equal(model["conv_seg"].weight, before)
    assert "conv_seg.weight, conv_seg.bias keep what they were built with." in said[0]


def test_a_mismatch_is_grouped_and_can_be_waved_through():
    weights = small_model().state_dict()
    weights["backbone.extra"] = weights.pop("backbone.weight") + 1
    weights["conv_seg.bias"] = torch.full((3,), 7.0)
    model = small_model()
    with pytest.raises(UserError) as caught:
        load_into(model, weights)
    assert "missing: backbone.weight.* (1, e.g. backbone.weight)" in str(caught.value)
    assert "unexpected: backbone.extra.* (1, e.g. backbone.extra)" in str(caught.value)
    load_into(model, weights, strict=False)
    assert model["conv_seg"].bias.tolist() == [7.0] * 3


@pytest.mark.parametrize("strict", [True, False])
def test_weights_that_are_not_numbers_are_refused(strict):
    weights = small_model().state_dict()
    weights["conv_seg.bias"] = torch.tensor([0.0, float("inf"), 0.0])
    model = small_model()
    before = model["conv_seg"].weight.clone()
    with pytest.raises(UserError, match=r"a\.pth can't be used: conv_seg\.bias hold NaN"):
        load_into(model, weights, source="a.pth", strict=strict)
    assert torch.equal(model["conv_seg"].weight, before)


def test_infinity_by_design_is_loaded():
    model = small_model()
    model.register_buffer("mask", torch.tensor([0.0, float("-inf")]))
    load_into(model, {**model.state_dict(), "mask": torch.tensor([float("-inf"), 0.0])})
    assert model.mask[0] == float("-inf")


def test_safetensors(tmp_path):
    save_file = pytest.importorskip("safetensors.torch").save_file
    save_file({"w": torch.arange(3.0)}, tmp_path / "a.safetensors")
    assert load_checkpoint(tmp_path / "a.safetensors")["state_dict"]["w"].tolist() == [0, 1, 2]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.pth"
    save_checkpoint({"state_dict": {"w": torch.ones(1)}}, path)

    def full_disk(checkpoint, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(UserError, match="No space left"):
        save_checkpoint({"state_dict": {}}, path)
    assert load_checkpoint(path)["state_dict"]["w"].item() == 1
    assert os.listdir(tmp_path) == ["a.pth"]


def test_a_published_file_names_its_hash(tmp_path):
    save_checkpoint(
        {"state_dict": {"module.w": torch.ones(1)}, "optimizer": {}}, tmp_path / "a.pth"
    )
    path = publish_checkpoint(tmp_path / "a.pth", tmp_path / "out.pth")
    assert path.stem.split("-")[1] == module.sha256_of(path)[:8]
    assert set(load_checkpoint(path)) == {"meta", "state_dict"}


@pytest.fixture
def resnet():
    def build(kind="ResNet", depth=50, **options):
        # One stage of few channels: names are what counts here.
        small = dict(num_stages=1, strides=(1,), dilations=(1,), out_indices=(0,), base_channels=4)
        return MODELS.build(dict(type=kind, depth=depth, stem_channels=4, **small, **options))

    return build


@pytest.mark.parametrize("wrap", ["torchvision", "mmpretrain", "mmsegmentation 0.x"])
def test_pretrained_weights_of_every_origin(resnet, tmp_path, wrap):
    weights = resnet().state_dict()
    if wrap == "torchvision":
        stored = {**weights, "fc.weight": torch.ones(1000, 16), "fc.bias": torch.ones(1000)}
    elif wrap == "mmpretrain":
        stored = {"backbone." + key: value for key, value in weights.items()}
        stored = {"state_dict": {**stored, "head.fc.weight": torch.ones(1000, 16)}}
    else:
        stored = {"module.backbone." + key: value for key, value in weights.items()}
        stored = {"meta": {}, "state_dict": {**stored, "module.decode_head.x": torch.ones(1)}}
    torch.save(stored, tmp_path / "r18.pth")
    plugin = dict(cfg=dict(type="ContextBlock", ratio=1 / 4), position="after_conv2")
    model = resnet(pretrained=str(tmp_path / "r18.pth"), plugins=[plugin])
    model.init_weights()
    for key, value in weights.items():
        assert torch.equal(model.state_dict()[key], value), key


def test_pretrained_weights_of_another_network_are_refused(resnet, tmp_path):
    torch.save(resnet().state_dict(), tmp_path / "plain.pth")
    model = resnet("ResNetV1c", pretrained=str(tmp_path / "plain.pth"))
    with pytest.raises(UserError, match=r"plain\.pth doesn't fit.*missing: stem\.0.*unexpected"):
        model.init_weights()
