"""How long what follows from weights is kept."""

import copy
import gc
import weakref

import pytest
import torch
from torch import nn
from torch._subclasses import FakeTensorMode

from mmseg_gc.accelerate.derived import SMALL, Derived, has_numbers
from mmseg_gc.accelerate.kernels import Kernels


def pair(channels: int = 6) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    torch.manual_seed(0)
    return nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4).eval()


class Asked:
    """Asks for what follows from a convolution and a norm; ``made`` counts how often it is."""

    def __init__(self, channels: int = 6, derived: Derived | None = None) -> None:
        self.conv, self.norm = pair(channels)
        self.derived, self.made = derived or Derived(), 0

    def __call__(self, num_bytes: int = 0, **options) -> tuple | None:
        def make() -> tuple[torch.Tensor]:
            self.made += 1
            return (self.conv.weight.detach().clone(),)

        kernels = [Kernels(self.conv, self.norm)]
        return self.derived.get(kernels, make, num_bytes=num_bytes, **options)


def swap(tensor: torch.Tensor, dim: int) -> None:
    """Two of its parts change places."""
    tensor.data.copy_(tensor.data.roll(1, dim))


@pytest.mark.parametrize(
    "change",
    [
        lambda conv, norm: conv.weight.detach().add_(1),
        lambda conv, norm: norm.running_mean.add_(1),
        lambda conv, norm: norm.weight.detach().mul_(2),
        lambda conv, norm: conv.load_state_dict(copy.deepcopy(conv.state_dict())),
        lambda conv, norm: setattr(conv, "weight", nn.Parameter(conv.weight.detach().clone())),
        # Of what follows torch keeps no count.
        lambda conv, norm: conv.weight.data.mul_(2),
        lambda conv, norm: conv.weight.data.neg_(),
        lambda conv, norm: conv.weight.data[3, 5, 2].fill_(0),
        lambda conv, norm: swap(conv.weight, 0),
        lambda conv, norm: swap(conv.weight, 1),
        lambda conv, norm: swap(conv.weight, 3),
        lambda conv, norm: conv.bias.data.add_(1),
        lambda conv, norm: swap(norm.running_var, 0),
        lambda conv, norm: norm.bias.data.add_(1),
        lambda conv, norm: setattr(norm, "eps", 0.1),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("channels", [6, 7, 1024])
def test_kept_until_something_changes(channels: int, dtype: torch.dtype, change) -> None:
    ask = Asked(channels)
    ask.conv.to(dtype)
    ask.norm.running_var.uniform_()
    assert ask() is ask() and ask.made == 1
    change(ask.conv, ask.norm)
    ask()
    assert ask.made == 2
    assert (ask.conv.weight.nbytes > SMALL) == (channels == 1024)  # both ways to look


def test_what_belongs_to_a_model_that_went_goes_too() -> None:
    ask = Asked()
    made = weakref.ref(ask()[0])
    gc.collect()
    assert made() is not None
    ask.conv = ask.norm = None
    gc.collect()
    assert made() is None


def test_uses_of_the_same_weights_are_kept_apart() -> None:
    ask = Asked()
    assert ask(use="one") is not ask(use="another")
    assert ask(use="one") is ask(use="one") and ask.made == 2


def test_bytes_are_counted() -> None:
    derived, nothing = Derived(100), ()
    first, second, third = (Asked(derived=derived) for _ in range(3))
    assert first(60) and second(60, unkept=lambda: nothing) is nothing and third(40)
    assert second.made == 0
    assert second(60) is not second(60) and second.made == 2  # made at each call
    first.conv.weight.data.add_(1)
    assert first(60) and first.made == 2  # its old one makes room for the new one
    first.conv = None
    gc.collect()
    assert second(60) is second(60) and second.made == 3


def test_a_tracer_s_tensors_have_no_numbers() -> None:
    assert has_numbers(torch.ones(1)) and has_numbers(nn.Parameter(torch.ones(1)))
    told = torch.vmap(lambda one: one if has_numbers(one) else one + 1)(torch.zeros(2))
    assert told.tolist() == [1, 1]
    with FakeTensorMode():
        assert not has_numbers(torch.ones(1))
