"""Which convolutions go to cuDNN's fused kernels; `tests/fake_cuda` runs whole networks by them."""

import pytest
import torch
import torch.nn.functional as F

from mmseg_gc.accelerate import cudnn

GEOMETRY = dict(padding=(1, 1), stride=(1, 1), dilation=(1, 1), groups=1)


@pytest.fixture
def there(monkeypatch):
    """cuDNN, as far as `suits` asks."""
    monkeypatch.setattr(torch.backends.cudnn, "is_available", lambda: True)
    monkeypatch.setattr(cudnn, "_refused", set())


def image(dtype=torch.float16, channels=8):
    return torch.randn(1, channels, 6, 5, generator=torch.Generator().manual_seed(0)).to(dtype)


def test_what_suits(there, monkeypatch):
    bias = torch.zeros(4)
    assert cudnn.suits(image(), bias, (1, 1)) and cudnn.suits(image(torch.bfloat16), bias, (1, 1))
    assert not cudnn.suits(image(torch.float32), bias, (1, 1))
    assert not cudnn.suits(image(), None, (1, 1))
    assert not cudnn.suits(image(), bias, "same")
    assert not cudnn.suits(image()[:0], bias, (1, 1))
    monkeypatch.setattr(torch.backends.cudnn, "is_available", lambda: False)
    assert not cudnn.suits(image(), bias, (1, 1))


@pytest.mark.parametrize("residual", [False, True])
def test_arguments(there, monkeypatch, residual):
    """In the order of torch's operators, which are written out here for the CPU."""

    def relu(x, weight, bias, stride, padding, dilation, groups):
        return F.conv2d(x, weight, bias, stride, padding, dilation, groups).relu()

    def add_relu(x, weight, z, alpha, bias, stride, padding, dilation, groups):
        assert z.is_contiguous(memory_format=torch.channels_last)
        out = F.conv2d(x, weight, bias, stride, padding, dilation, groups)
        return (out + alpha * z).relu()

    monkeypatch.setattr(cudnn, "FUSED", relu)
    monkeypatch.setattr(cudnn, "FUSED_ADD", add_relu)
    x, weight, bias = image(torch.float32), torch.randn(4, 4, 3, 3), torch.randn(4)
    geometry = dict(padding=(2, 1), stride=(1, 2), dilation=(2, 1), groups=2)
    want = F.conv2d(x, weight, bias, **geometry)
    other = torch.randn_like(want) if residual else None
    found = cudnn.convolve(x, weight, bias, **geometry, residual=other)
    torch.testing.assert_close(found, (want if other is None else want + other).relu())


def test_what_is_refused_is_not_asked_again_but_memory_is_no_refusal(there, monkeypatch):
    asked = []

    def refuse(x, *args):
        asked.append(x.shape[1])
        raise torch.OutOfMemoryError if x.shape[1] == 8 else RuntimeError("no engine")

    monkeypatch.setattr(cudnn, "FUSED", refuse)
    for _ in range(2):
        assert cudnn.convolve(image(channels=4), torch.ones(4, 4, 3, 3), None, **GEOMETRY) is None
        with pytest.raises(torch.OutOfMemoryError):
            cudnn.convolve(image(), torch.ones(4, 8, 3, 3), None, **GEOMETRY)
    assert asked == [4, 8, 8]
