import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import nn

from mmseg_gc.engine import SGD, AmpOptimWrapper, optim_wrapper
from mmseg_gc.models.layers.norm_relu import norm_relu

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


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = model()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, norm, relu, last = self.parts
        return last(norm_relu(norm, relu, first(x)))


def test_copies_of_weights_and_outputs_of_norms_are_not_kept(monkeypatch):
    kept, original = [], optim_wrapper._shrink

    def watched(tensor):
        kept.append(original(tensor))
        return kept[-1]

    monkeypatch.setattr(optim_wrapper, "_shrink", watched)
    net = Net()
    wrapper = AmpOptimWrapper(optimizer=SGD(net.parameters(), lr=0.1))
    found = gradients(wrapper.optim_context(net), net)
    shrunk = [saved for saved in kept if not isinstance(saved, torch.Tensor)]
    assert len(shrunk) == 3  # two weights, and what the last convolution reads
    other = model()
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
