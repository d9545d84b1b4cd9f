"""Weights with the batch norm behind them folded in, and how long they are kept."""

import copy
import gc
import weakref

import pytest
import torch
from torch import nn

from mmseg_gc.accelerate.kernels import Derived, Kernels, folded


def pair(bias: bool = True, affine: bool = True) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(6, 4, 3, bias=bias), nn.BatchNorm2d(4, affine=affine)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    if affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    return conv, norm.eval()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_folding_is_the_norm_after_the_convolution(bias: bool, affine: bool) -> None:
    conv, norm = pair(bias, affine)
    x = torch.randn(2, 6, 5, 5)
    weight, shift = Kernels(conv, norm).folded()
    torch.testing.assert_close(
        nn.functional.conv2d(x, weight, shift), norm(conv(x)), atol=1e-5, rtol=1e-4
    )


def test_halves_of_the_input_add_up() -> None:
    conv, norm = pair()
    x = torch.randn(2, 6, 5, 5)
    parts = [Kernels(conv, norm, 0, 2), Kernels(conv, norm, 2, None, with_bias=False)]
    outs = [nn.functional.conv2d(x[:, part.first : part.last], *part.folded()) for part in parts]
    torch.testing.assert_close(sum(outs), norm(conv(x)), atol=1e-5, rtol=1e-4)


def test_several_of_one_input_stand_side_by_side() -> None:
    (conv, norm), plain = pair(), nn.Conv2d(6, 3, 3, bias=False)
    weight, bias = folded([Kernels(conv, norm), Kernels(plain)])
    assert weight.shape == (7, 6, 3, 3)
    assert torch.equal(bias[:4], Kernels(conv, norm).folded()[1]) and not bias[4:].any()
    assert folded([Kernels(plain)])[1] is None


@pytest.fixture
def kept():
    """Ask for what follows from a convolution; how often it had to be made."""
    conv, norm = pair()
    derived, made = Derived(), []

    def ask() -> tuple:
        make = lambda: made.append(conv) or (conv.weight.detach().clone(),)  # noqa: E731
        return derived.get([Kernels(conv, norm)], make)

    ask.conv, ask.norm, ask.made = conv, norm, made
    return ask


@pytest.mark.parametrize(
    "change",
    [
        lambda conv, norm: conv.weight.detach().add_(1),
        lambda conv, norm: norm.running_mean.add_(1),
        lambda conv, norm: norm.weight.detach().mul_(2),
        lambda conv, norm: conv.load_state_dict(copy.deepcopy(conv.state_dict())),
        lambda conv, norm: setattr(conv, "weight", nn.Parameter(conv.weight.detach().clone())),
    ],
)
def test_kept_until_something_changes(kept, change) -> None:
    assert kept() is kept() and len(kept.made) == 1
    change(kept.conv, kept.norm)
    kept()
    assert len(kept.made) == 2


def test_what_belongs_to_a_model_that_went_goes_too() -> None:
    (conv, norm), derived = pair(), Derived()
    made = weakref.ref(derived.get([Kernels(conv, norm)], lambda: (torch.ones(3),))[0])
    gc.collect()
    assert made() is not None
    del conv, norm
    gc.collect()
    assert made() is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_cpu_keeps_nothing(dtype: torch.dtype) -> None:
    """So that numbers written through ``data``, of which torch keeps no count, are seen."""
    conv, norm = pair()
    conv.to(dtype)
    before = folded([Kernels(conv, norm)])[0]
    conv.weight.data.mul_(2)
    torch.testing.assert_close(folded([Kernels(conv, norm)])[0], 2 * before)


class OnAGpu(nn.Parameter):
    """Numbers on a CPU that say that they are on a GPU."""

    device = torch.device("cuda", 0)


def test_a_gpu_keeps_them_until_they_change() -> None:
    conv, norm = pair()
    conv.weight = OnAGpu(conv.weight.detach())
    first = folded([Kernels(conv, norm)])[0]
    assert folded([Kernels(conv, norm)])[0] is first
    with torch.no_grad():
        conv.weight.mul_(2)
    assert torch.equal(folded([Kernels(conv, norm)])[0], 2 * first)
