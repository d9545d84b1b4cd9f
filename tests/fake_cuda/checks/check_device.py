"""What the fake GPU notices."""

from collections.abc import Callable

import pytest
import torch
from fake_cuda.device import FakeGpu
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

ON_GPU = dict(device="cuda:0")


@pytest.mark.parametrize(
    "together",
    [
        lambda x: x + torch.ones(4),
        lambda x: x.add_(torch.ones(4)),
        lambda x: torch.cat([x, torch.ones(4)]),
        lambda x: torch.mul(x, x, out=torch.ones(4)),
        lambda x: torch.where(torch.ones(4) > 0, x, x),
    ],
)
def test_two_devices_in_one_operation(gpu: FakeGpu, together: Callable[[Tensor], Tensor]):
    with pytest.raises(Exception, match="device"):
        together(torch.zeros(4, **ON_GPU))


@pytest.mark.parametrize(
    ("look", "count"),
    [
        (lambda x: x[0].item(), 1),
        (lambda x: bool(x.any()), 1),
        (lambda x: x.tolist(), 1),
        (lambda x: x.cpu(), 1),
        (lambda x: x.to("cpu", non_blocking=True), 0),
        (lambda x: x.nonzero(), 1),
        (lambda x: x[x > 0], 1),
        (lambda x: torch.masked_select(x, x > 0), 1),
        (lambda x: torch.equal(x, x), 1),
        (lambda x: torch.bincount(x.long()), 2),
        (lambda x: x.sum() + x.max(), 0),
        (lambda x: torch.cuda.synchronize(), 1),
    ],
)
def test_waits(gpu: FakeGpu, look: Callable[[Tensor], object], count: int):
    x = torch.zeros(4, **ON_GPU)
    with gpu.record() as record:
        look(x)
    assert len(record.waits) == count
    assert all(wait.place.line.startswith("tests/fake_cuda/checks/") for wait in record.waits)


def test_copies(gpu: FakeGpu):
    with gpu.record() as record:
        torch.ones(4).cuda()
        torch.ones(4).pin_memory().to("cuda:0", non_blocking=True)
        torch.tensor([1.0], **ON_GPU)
    assert [(each.blocking, each.pinned, each.size) for each in record.copies] == [
        (True, False, 16),
        (False, True, 16),
        (True, False, 4),
    ]


def test_memory(gpu: FakeGpu):
    x = torch.zeros(256, **ON_GPU)
    with gpu.record() as record:
        y = x + 1  # 1 KiB
        z = y[:128] * 2  # and a half, while `y` is there
        del y, z
        x.clone()
    assert record.peak == 1024 + 512 and record.launches.total() == 3
    assert record.moved["aten::add.Tensor"] == 2048


def test_layouts(gpu: FakeGpu):
    """cuDNN's convolutions write what they read."""
    convolution = torch.nn.Conv2d(8, 8, 3).cuda()
    x = torch.zeros(1, 8, 9, 9, **ON_GPU)
    with gpu.record() as record:
        convolution(x)
        y = convolution.to(memory_format=torch.channels_last)(x)
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert [each.channels_last for each in record.convolutions] == [False, False]
    with gpu.record() as record:
        convolution(y)
    assert [each.channels_last for each in record.convolutions] == [True]


def test_what_comes_back_is_real(gpu: FakeGpu):
    x = torch.ones(4, **ON_GPU)
    assert isinstance(x, FakeTensor)
    for back in (x.cpu(), torch.empty(4).copy_(x), x.to("cpu", torch.float64)):
        assert not isinstance(back, FakeTensor) and back.tolist() == [0.0] * 4
