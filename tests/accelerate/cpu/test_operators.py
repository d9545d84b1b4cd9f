"""Private operators of torch beside the public ones, and what happens where they lack."""

import pytest
import torch
import torch.nn.functional as F

from mmseg_gc.accelerate.cpu import operators

GEOMETRY = dict(padding=(2, 1), stride=(1, 2), dilation=(2, 1), groups=2)
needs_them = pytest.mark.skipif(bool(operators.missing()), reason="this torch lacks the operators")


def last(*shape: int) -> torch.Tensor:
    return torch.randn(shape).to(memory_format=torch.channels_last)


@needs_them
@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("added", ["nothing", "residual", "overwritten"])
def test_convolution(relu: bool, added: str) -> None:
    torch.manual_seed(0)
    x, weight, bias = last(2, 8, 9, 10), torch.randn(4, 4, 3, 3), torch.randn(4)
    wanted = F.conv2d(x, weight, bias, (1, 2), (2, 1), (2, 1), 2)
    residual = None if added == "nothing" else last(*wanted.shape)
    wanted = wanted if residual is None else wanted + residual
    out = operators.convolution(
        x, weight, bias, **GEOMETRY, relu=relu, residual=residual, overwrite=added == "overwritten"
    )
    torch.testing.assert_close(out, wanted.relu() if relu else wanted, atol=1e-4, rtol=1e-4)
    assert residual is None or (out.data_ptr() == residual.data_ptr()) == (added == "overwritten")


@needs_them
@pytest.mark.parametrize("dtype", operators.DTYPES)
def test_packed_weights_are_for_any_size(dtype: torch.dtype) -> None:
    weight, bias = torch.randn(4, 4, 3, 3).to(dtype), torch.randn(4).to(dtype)
    packed = operators.packed(weight, size=(2, 8, 9, 10), **GEOMETRY)
    for size in ((2, 8, 9, 10), (1, 8, 20, 31)):
        x = last(*size).to(dtype)
        plain = operators.convolution(x, weight, bias, **GEOMETRY, relu=True)
        found = operators.convolution(x, packed, bias, **GEOMETRY, relu=True)
        torch.testing.assert_close(found, plain)


@needs_them
def test_linear() -> None:
    x, weight = torch.randn(5, 7), torch.randn(3, 7)
    torch.testing.assert_close(operators.linear(x, weight), x @ weight.T)


@needs_them
def test_backward_of_batch_norm_and_relu() -> None:
    x = torch.randn(3, 4, 5, 6, requires_grad=True)
    weight, bias = torch.randn(4, requires_grad=True), torch.randn(4, requires_grad=True)
    grad = torch.randn(3, 4, 5, 6)
    F.batch_norm(x, None, None, weight, bias, training=True, eps=1e-3).backward(grad)
    mean = x.detach().mean((0, 2, 3))
    invstd = (x.detach().var((0, 2, 3), unbiased=False) + 1e-3).rsqrt()
    wanted = (True, True, True)
    found = operators.batch_norm_backward(
        grad, x.detach(), weight.detach(), mean, invstd, 1e-3, wanted
    )
    for one, leaf in zip(found, (x, weight, bias), strict=True):
        torch.testing.assert_close(one, leaf.grad, atol=1e-5, rtol=1e-4)
    out = torch.tensor([0.0, 2.0])
    assert operators.relu_backward(torch.tensor([5.0, 7.0]), out).tolist() == [0, 7]


@pytest.fixture
def asked_anew():
    operators.missing.cache_clear()
    yield
    operators.missing.cache_clear()


def test_an_operator_that_went(monkeypatch, asked_anew) -> None:
    there = operators._exists
    gone = "mkldnn._linear_pointwise"
    monkeypatch.setattr(operators, "_exists", lambda name: name != gone and there(name))
    assert gone in operators.missing() and not operators.available()


def test_an_operator_with_other_arguments(monkeypatch, asked_anew) -> None:
    if operators.missing():
        pytest.skip("this torch lacks the operators")
    operators.missing.cache_clear()

    def refuse(*args, **kwargs):
        raise TypeError("takes other arguments")

    monkeypatch.setattr(operators, "linear", refuse)
    assert not operators.available()
    assert not [name for name in operators.missing() if name.startswith("aten.")]
