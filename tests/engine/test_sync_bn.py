import pytest
import torch
from torch import nn

from mmseg_gc.engine.sync_bn import adapt_sync_bn
from mmseg_gc.models import ResNet
from mmseg_gc.models.layers import AllReduceBatchNorm2d


def model_with_sync_bn() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.SyncBatchNorm(4), nn.Sequential())
    model[2].add_module("again", model[1])  # One layer in two places.
    model[2].add_module("other", nn.SyncBatchNorm(4, eps=1e-3, momentum=0.01))
    return model


def test_one_process_gets_plain_batch_norm() -> None:
    model = model_with_sync_bn()
    model[2].other.eval()
    before = dict(model.named_parameters())
    keys = list(model.state_dict())
    assert adapt_sync_bn(model, device_type="cpu", world_size=1) is model
    assert type(model[1]) is nn.BatchNorm2d
    assert model[2].again is model[1]
    assert (model[2].other.eps, model[2].other.momentum) == (1e-3, 0.01)
    assert model[1].training and not model[2].other.training
    assert list(model.state_dict()) == keys
    after = dict(model.named_parameters())
    assert all(after[name] is parameter for name, parameter in before.items())
    model(torch.randn(2, 3, 4, 4)).sum().backward()
    assert model[1].num_batches_tracked == 2


def test_says_so_in_exactly_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = []
    monkeypatch.setattr("mmseg_gc.engine.sync_bn.print_log", lambda text, **_: lines.append(text))
    adapt_sync_bn(model_with_sync_bn(), device_type="cuda", world_size=1)
    assert lines == ["2 SyncBN layers run as BatchNorm2d: there is one process."]
    adapt_sync_bn(nn.Sequential(nn.BatchNorm2d(3)), device_type="cpu", world_size=1)
    assert len(lines) == 1


def test_several_processes() -> None:
    model = adapt_sync_bn(model_with_sync_bn(), device_type="cuda", world_size=2)
    assert type(model[1]) is nn.SyncBatchNorm
    model = adapt_sync_bn(model_with_sync_bn(), device_type="cpu", world_size=2)
    assert type(model[1]) is AllReduceBatchNorm2d


def test_a_bare_layer_is_returned_anew() -> None:
    layer = nn.SyncBatchNorm(2, affine=False)
    assert type(adapt_sync_bn(layer, device_type="cpu", world_size=1)) is nn.BatchNorm2d


def test_frozen_norms_stay_frozen_in_a_backbone() -> None:
    model = ResNet(
        18, base_channels=4, stem_channels=4, norm_cfg=dict(type="SyncBN"), norm_eval=True
    )
    model.layer1[0].bn1.requires_grad_(False)
    adapt_sync_bn(model, device_type="cpu", world_size=1).train()
    assert type(model.layer1[0].bn1) is nn.BatchNorm2d
    assert not model.layer1[0].bn1.weight.requires_grad
    assert not model.layer1[0].bn1.training
