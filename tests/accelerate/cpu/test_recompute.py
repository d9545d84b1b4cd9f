import pytest
import torch
from torch import nn

from mmseg_gc.accelerate.cpu.recompute import _NormRelu, _recomputed, norm_relu


def parts() -> tuple[nn.Conv2d, nn.BatchNorm2d, nn.Conv2d]:
    torch.manual_seed(0)
    return nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 1)


def run(fused: bool) -> list[torch.Tensor]:
    """Output, gradients and running statistics of two steps in mixed precision."""
    first, norm, last = parts()
    relu = nn.ReLU(inplace=True)
    found = []
    for _ in range(2):
        x = torch.randn(2, 3, 9, 7).to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            y = first(x)
            y = norm_relu(norm, relu, y) if fused else relu(norm(y))
            assert isinstance(y.grad_fn, _NormRelu._backward_cls) == fused
            if fused:
                assert torch.equal(_recomputed(y.grad_fn), y)
            out = last(y)
        out.float().square().sum().backward()
        found.append(out.detach())
    grads = [p.grad for part in (first, norm, last) for p in part.parameters()]
    return [*found, *grads, *norm.buffers()]


def test_all_numbers_are_those_of_norm_and_relu() -> None:
    torch.manual_seed(1)
    expected = run(fused=False)
    torch.manual_seed(1)
    found = run(fused=True)
    assert all(map(torch.equal, found, expected))


@pytest.mark.parametrize("case", ["eval", "float32", "momentum=None", "group norm"])
def test_elsewhere_they_are_called_as_they_are(case: str) -> None:
    norm: nn.Module = nn.BatchNorm2d(4, momentum=None if "momentum" in case else 0.1)
    if case == "group norm":
        norm = nn.GroupNorm(2, 4)
    norm.train(case != "eval")
    x = torch.randn(2, 4, 3, 3, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=case != "float32"):
        y = norm_relu(norm, nn.ReLU(), x)
    assert not isinstance(y.grad_fn, _NormRelu._backward_cls) and y.min() >= 0
