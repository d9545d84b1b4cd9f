from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from torch import nn

from mmseg_gc.accelerate import prepare_for_training
from mmseg_gc.accelerate.cpu import winograd_training
from mmseg_gc.accelerate.cpu.recompute import PREPARED
from mmseg_gc.accelerate.cpu.winograd_training import TrainedWinogradConv2d
from mmseg_gc.engine import SegRunner
from mmseg_gc.errors import UserError
from mmseg_gc.models import ResNetV1c


def counts(model: nn.Module) -> tuple[int, int]:
    return tuple(
        sum(isinstance(module, kind) for module in model.modules())
        for kind in (TrainedWinogradConv2d, PREPARED)
    )


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    monkeypatch.setattr(winograd_training, "MIN_CHANNELS", 8)
    monkeypatch.setattr(winograd_training, "MIN_WEIGHTS", 64)
    return nn.ModuleDict({"backbone": ResNetV1c(18, base_channels=8, stem_channels=8)})


@pytest.mark.parametrize(
    ("accelerate", "device_type", "found"),
    [("auto", "cpu", (13, 13)), ("none", "cpu", (0, 0)), ("auto", "cuda", (0, 0))],
)
def test_switch(
    model: nn.Module, accelerate: str, device_type: str, found: tuple[int, int]
) -> None:
    parameters, keys = list(model.parameters()), list(model.state_dict())
    prepare_for_training(model, device_type=device_type, accelerate=accelerate)
    assert (counts(model)[0] > 0, counts(model)[1] > 0) == (found[0] > 0, found[1] > 0)
    weight = model["backbone"].stem[3].weight
    assert weight.is_contiguous(memory_format=torch.channels_last) == (found[0] > 0)
    assert list(model.state_dict()) == keys
    assert all(one is other for one, other in zip(model.parameters(), parameters, strict=True))


def test_unknown_value(model: nn.Module) -> None:
    with pytest.raises(UserError, match="no accelerate='fast'; choose auto or none"):
        prepare_for_training(model, device_type="cpu", accelerate="fast")


@pytest.mark.skipif(torch.cuda.is_available(), reason="the CPU's own way")
@pytest.mark.parametrize("accelerate", ["auto", "none", None])
def test_the_runner_reads_the_switch(model: nn.Module, accelerate: str | None) -> None:
    cfg = Config({} if accelerate is None else dict(accelerate=accelerate))
    runner = SimpleNamespace(
        cfg=cfg, world_size=1, distributed=False, _computes_on_tensor_cores=lambda device: False
    )
    SegRunner.wrap_model(runner, None, model)
    assert (counts(model)[0] > 0) == (accelerate != "none")


def test_first_weights_are_drawn_as_in_the_plain_model(model: nn.Module) -> None:
    plain = ResNetV1c(18, base_channels=8, stem_channels=8)
    plain = plain.to(memory_format=torch.channels_last)  # they are drawn as they lie
    prepare_for_training(model, device_type="cpu")
    for backbone in (plain, model["backbone"]):
        torch.manual_seed(3)
        backbone.init_weights()
    state = model["backbone"].state_dict()
    assert all(torch.equal(value, state[key]) for key, value in plain.state_dict().items())
