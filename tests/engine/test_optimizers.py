import copy

import numpy as np
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope

from mmseg_gc.engine import SGD
from mmseg_gc.engine.optimizers import prepare_optimizer
from mmseg_gc.errors import UserError

OPTIONS = dict(lr=0.1, momentum=0.9, weight_decay=0.01)


def steps(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> torch.Tensor:
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        for param in model.parameters():
            param.grad = torch.randn(param.shape, generator=generator).to(param.dtype)
        optimizer.step()
    return torch.cat([param.detach().flatten() for param in model.parameters()])


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-6), (torch.float64, 1e-15)])
def test_steps_as_torch_s_loop_does(dtype, bound):
    model = torch.nn.Linear(300, 70).to(dtype)
    other = copy.deepcopy(model)
    found = steps(model, SGD(model.parameters(), **OPTIONS))
    loop = torch.optim.SGD(other.parameters(), **OPTIONS, foreach=False, fused=False)
    expected = steps(other, loop)
    assert (found - expected).abs().max() <= bound * expected.abs().max()


def test_configs_get_it_and_can_turn_it_off():
    model = torch.nn.Linear(3, 3)
    with DefaultScope.overwrite_default_scope("mmseg_gc"):
        for fused, expected in ((None, True), (False, None)):
            cfg = dict(type="SGD", lr=0.1, fused=fused)
            wrapper = build_optim_wrapper(model, dict(type="OptimWrapper", optimizer=cfg))
            assert type(wrapper.optimizer) is SGD
            assert wrapper.optimizer.defaults["fused"] is expected


def test_where_torch_has_no_fused_step_it_takes_the_loop():
    params = [{"params": torch.nn.Parameter(torch.zeros(2, dtype=torch.complex64))}]
    assert SGD(params, lr=0.1).defaults["fused"] is None
    params = torch.nn.Linear(2, 2).parameters()
    assert SGD(params, lr=0.1, foreach=True).defaults["fused"] is None


def overflowing_steps(optimizer: torch.optim.Optimizer, weight: torch.nn.Parameter) -> list:
    """Weights after each of five steps under a scaler, of which the first overflows."""
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    weights = []
    for step in range(5):
        optimizer.zero_grad()
        loss = (weight * torch.tensor([1.0, 2.0, 3.0])).sum() * (float("inf") if step == 0 else 1)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        weights.append(weight.detach().clone())
    assert scaler.get_scale() == 4.0
    return weights


@pytest.fixture
def poisoned_memory(monkeypatch):
    """Uninitialised memory is NaN."""
    monkeypatch.setattr(torch, "empty_like", lambda x, **k: torch.full_like(x, float("nan"), **k))


def test_a_first_step_that_overflows_leaves_nothing_behind(poisoned_memory):
    """From the second step on it is momentum by hand: v = 0.9 v + g, w -= 0.1 v."""
    weight = torch.nn.Parameter(torch.ones(3))
    found = overflowing_steps(SGD([weight], lr=0.1, momentum=0.9), weight)
    assert torch.equal(found[0], torch.ones(3))
    expected, velocity, gradient = np.ones(3), np.zeros(3), np.array([1.0, 2.0, 3.0])
    for weights in found[1:]:
        velocity = 0.9 * velocity + gradient
        expected = expected - 0.1 * velocity
        np.testing.assert_allclose(weights.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("how", ["copied", "loaded", "loaded in part", "torch's own"])
def test_momenta_begin_as_zeros_however_it_came_to_be(poisoned_memory, how):
    weight, other = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    fresh = SGD([weight, other], lr=0.1, momentum=0.9)
    if how == "copied":
        fresh = copy.deepcopy(fresh)
        weight, other = fresh.param_groups[0]["params"]
    elif how == "torch's own":
        fresh = torch.optim.SGD([weight, other], lr=0.1, momentum=0.9, fused=True)
        prepare_optimizer(fresh)
    elif how == "loaded":
        fresh.load_state_dict(fresh.state_dict())
    else:
        state = fresh.state_dict()
        state["state"] = {1: {"momentum_buffer": torch.zeros(3)}}
        fresh.load_state_dict(state)
        other.grad = torch.zeros(3)
    weight.grad = torch.ones(3)
    fresh.step()
    assert torch.allclose(weight, torch.tensor(0.9))


def test_a_state_of_other_strides_is_laid_out_anew():
    """As of a run on a GPU or of mmsegmentation, whose weights aren't channels last."""
    generator = torch.Generator().manual_seed(0)
    start, momentum, grad = (torch.randn(4, 3, 2, 2, generator=generator) for _ in range(3))
    weight = torch.nn.Parameter(start.to(memory_format=torch.channels_last))
    optimizer = SGD([weight], lr=0.1, momentum=0.9)
    state = optimizer.state_dict()
    optimizer.load_state_dict({**state, "state": {0: {"momentum_buffer": momentum.clone()}}})
    weight.grad = grad.to(memory_format=torch.channels_last)
    optimizer.step()
    expected = start.numpy() - 0.1 * (0.9 * momentum.numpy() + grad.numpy())
    np.testing.assert_allclose(weight.detach().numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("saved", [dict(fused=False), dict(foreach=True), {}])
@pytest.mark.parametrize("kind", [SGD, torch.optim.AdamW])
def test_how_it_steps_is_this_run_s_choice(kind, saved):
    own, other = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    base = torch.optim.SGD if kind is SGD else kind
    source = base([other], lr=0.5, **saved)
    other.grad = torch.ones(3)
    source.step()
    optimizer = kind([own], lr=0.1, fused=True)
    prepare_optimizer(optimizer)
    optimizer.load_state_dict(source.state_dict())
    group = optimizer.param_groups[0]
    assert (group["fused"], group["foreach"], group["lr"]) == (True, None, 0.5)
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(own.sum()).backward()
    scaler.step(optimizer)
    assert not torch.equal(own, torch.ones(3))


def test_dampening_has_no_fused_step():
    params = [torch.nn.Parameter(torch.ones(3))]
    assert SGD(params, lr=0.1, momentum=0.9, dampening=0.5).defaults["fused"] is None
    assert SGD([dict(params=params, dampening=0.5)], momentum=0.9).defaults["fused"] is None
    with pytest.raises(UserError, match="optimizer.fused=True doesn't go with dampening"):
        SGD(params, momentum=0.9, dampening=0.5, fused=True)
