import copy

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope

from mmseg_gc.engine import SGD

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
