import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from torch import nn

from mmseg_gc.accelerate import prepare_for_training
from mmseg_gc.accelerate.cpu import recompute
from mmseg_gc.engine import SGD, AmpOptimWrapper
from mmseg_gc.engine import OptimWrapper as OwnOptimWrapper
from mmseg_gc.engine.late_values import LateHistory
from mmseg_gc.errors import UserError
from mmseg_gc.registry import OPTIM_WRAPPERS

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="the CPU's own way")


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1)
    )


def gradients(context, net: nn.Module) -> list[torch.Tensor]:
    x = torch.linspace(-1, 1, 3 * 64).view(1, 3, 8, 8)
    with context:
        loss = net(x).float().square().sum()
    loss.backward()
    return [param.grad for param in net.parameters()]


def test_gradients_are_those_of_plain_autocast():
    net, other = model(), model()
    wrapper = AmpOptimWrapper(optimizer=SGD(net.parameters(), lr=0.1))
    found = gradients(wrapper.optim_context(net), net)
    expected = gradients(torch.autocast("cpu", torch.bfloat16), other)
    assert all(map(torch.equal, found, expected))


@pytest.mark.parametrize("accelerate", ["auto", "none"])
def test_copies_of_weights_and_outputs_of_norms_are_not_kept(monkeypatch, accelerate):
    kept, original = [], recompute._shrink

    def watched(tensor):
        kept.append(original(tensor))
        return kept[-1]

    monkeypatch.setattr(recompute, "_shrink", watched)
    net = nn.Sequential(model())
    prepare_for_training(net, device_type="cpu", accelerate=accelerate)
    wrapper = AmpOptimWrapper(optimizer=SGD(net.parameters(), lr=0.1))
    found = gradients(wrapper.optim_context(net), net)
    shrunk = [saved for saved in kept if not isinstance(saved, torch.Tensor)]
    # Two weights, and what the last convolution reads.
    assert len(shrunk) == (3 if accelerate == "auto" else 0)
    layout = torch.channels_last if accelerate == "auto" else torch.contiguous_format
    other = nn.Sequential(model()).to(memory_format=layout)
    expected = gradients(torch.autocast("cpu", torch.bfloat16), other)
    assert all(map(torch.equal, found, expected))


def test_accumulated_steps_are_one_step_of_all():
    net, other = model().eval(), model().eval()
    whole = OptimWrapper(optimizer=SGD(other.parameters(), lr=0.1, momentum=0.9))
    parts = OptimWrapper(
        optimizer=SGD(net.parameters(), lr=0.1, momentum=0.9), accumulative_counts=2
    )
    parts.initialize_count_status(net, 0, 4)
    x = torch.randn(8, 3, 8, 8)
    for half in x.split(2):
        with parts.optim_context(net):
            parts.update_params(net(half).square().mean())
    for half in x.split(4):
        whole.update_params(other(half).square().mean())
    for found, expected in zip(net.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(found, expected)


def test_a_clipped_norm_is_logged_when_it_is_asked_for():
    """Gradients (3, 4) have the norm 5 and are clipped to 1."""
    for kind in (OwnOptimWrapper, AmpOptimWrapper):
        weight = nn.Parameter(torch.zeros(2))
        wrapper = kind(
            optimizer=SGD([weight, nn.Parameter(torch.ones(1))], lr=1.0),
            clip_grad=dict(max_norm=1.0),
        )
        wrapper.update_params((weight * torch.tensor([3.0, 4.0])).sum())
        torch.testing.assert_close(weight, torch.tensor([-0.6, -0.8]))
        history = wrapper.message_hub.log_scalars["train/grad_norm"]
        assert isinstance(history, LateHistory) and len(history.waiting) == 1
        assert history.current() == pytest.approx(5.0, rel=1e-5)
        wrapper.message_hub.log_scalars.clear()
    with DefaultScope.overwrite_default_scope("mmseg_gc"):
        assert OPTIM_WRAPPERS.get("OptimWrapper") is OwnOptimWrapper


def state_of(scaler: torch.amp.GradScaler | None) -> dict:
    weight = nn.Parameter(torch.ones(2))
    wrapper = OwnOptimWrapper(optimizer=torch.optim.SGD([weight], lr=0.1, momentum=0.9))
    wrapper.update_params(weight.sum())
    state = wrapper.state_dict()
    return state if scaler is None else {**state, "loss_scaler": scaler.state_dict()}


def with_scaler() -> AmpOptimWrapper:
    wrapper = AmpOptimWrapper(optimizer=SGD([nn.Parameter(torch.ones(2))], lr=0.1, momentum=0.9))
    wrapper.loss_scaler = torch.amp.GradScaler("cpu", init_scale=16.0)
    return wrapper


@pytest.mark.parametrize(
    ("saved", "scale"),
    [
        (None, 16.0),  # float32
        (torch.amp.GradScaler("cpu", enabled=False), 16.0),  # mixed precision on a CPU
        (torch.amp.GradScaler("cpu", init_scale=4.0), 4.0),  # on a GPU, or mmsegmentation's
    ],
    ids=["float32", "cpu", "gpu"],
)
def test_it_goes_on_from_any_run(saved, scale):
    wrapper, state = with_scaler(), state_of(saved)
    keys = set(state)
    wrapper.load_state_dict(state)
    assert set(state) == keys
    [weight] = wrapper.optimizer.param_groups[0]["params"]
    wrapper.update_params(weight.sum())
    # Momentum 0.9 * 1 + 1 from a saved 1.
    torch.testing.assert_close(weight, torch.full((2,), 1 - 0.1 * 1.9))
    assert wrapper.loss_scaler.get_scale() == scale


def test_float32_goes_on_from_mixed_precision():
    wrapper = OwnOptimWrapper(optimizer=SGD([nn.Parameter(torch.ones(2))], lr=0.1, momentum=0.9))
    wrapper.load_state_dict(state_of(torch.amp.GradScaler("cpu")))
    [weight] = wrapper.optimizer.param_groups[0]["params"]
    wrapper.update_params(weight.sum())
    torch.testing.assert_close(weight, torch.full((2,), 1 - 0.1 * 1.9))


@pytest.mark.parametrize(
    ("capability", "dtype", "said"),
    [
        ((7, 5), "bfloat16", "is 'bfloat16', which Turing can't compute in; leave it out or set"),
        ((7, 5), torch.bfloat16, "is torch.bfloat16, which Turing can't compute in"),
        ((9, 0), "bf16", "is 'bf16', which is no dtype to train in; choose float16 or bfloat16"),
    ],
)
def test_a_dtype_that_a_gpu_has_not(monkeypatch, capability, dtype, said):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Turing")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    with pytest.raises(UserError, match=said):
        AmpOptimWrapper(optimizer=SGD([nn.Parameter(torch.ones(1))]), dtype=dtype)


def test_what_a_compiler_keeps_is_left_to_it(monkeypatch):
    kept = []
    monkeypatch.setattr(recompute, "_shrink", lambda tensor: kept.append(1) or tensor)
    net = model()
    wrapper = AmpOptimWrapper(optimizer=SGD(net.parameters(), lr=0.1))
    assert wrapper.recomputes
    wrapper.recomputes = False
    gradients(wrapper.optim_context(net), net)
    assert kept == []
