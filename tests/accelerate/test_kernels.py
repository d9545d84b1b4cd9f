"""Weights with the batch norm behind them folded in."""

import pytest
import torch
from torch import nn

from mmseg_gc.accelerate.kernels import Kernels, folded


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


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_what_stands_side_by_side_stays_where_it_is(device: str) -> None:
    """Biases of a convolution that has none too."""
    options = dict(device=device, dtype=torch.bfloat16)
    convs = [nn.Conv2d(6, 4, 3, **options), nn.Conv2d(6, 3, 3, bias=False, **options)]
    weight, bias = folded([Kernels(conv) for conv in convs])
    assert bias.shape == (7,)
    assert {weight.dtype, bias.dtype} == {torch.bfloat16}
    assert {weight.device.type, bias.device.type} == {device}
