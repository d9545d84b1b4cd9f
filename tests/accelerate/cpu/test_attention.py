import pytest
import torch
from torch import Tensor

from mmseg_gc.accelerate.cpu import attention
from mmseg_gc.models.layers import attend


def rows(channels: int, width: int, dtype: torch.dtype, count: int = 1100) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, 530, channels), (2, count, channels), (2, count, width))
    return [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]


@pytest.mark.parametrize(
    ("channels", "width", "dtype", "bound"),
    [
        (8, 24, torch.float32, 1e-6),
        (8, 24, torch.bfloat16, 0.01),
        (24, 24, torch.bfloat16, 0.02),
        (24, 24, torch.float32, 1e-6),
    ],
)
def test_equals_the_softmax_of_all_pairs(
    channels: int, width: int, dtype: torch.dtype, bound: float
) -> None:
    query, key, value = rows(channels, width, dtype)
    energies = 0.3 * query.double() @ key.double().transpose(1, 2)
    expected = energies.softmax(dim=2) @ value.double()
    with torch.no_grad():
        found = attention.attend(query, key, value, 0.3)
    assert found.dtype is dtype
    assert (found.double() - expected).norm() < bound * expected.norm()


def test_what_all_keys_share_is_not_rounded() -> None:
    """Large energies that differ little: in bfloat16 they would all be the same."""
    query, key, value = rows(24, 24, torch.float32)
    query, key = query.abs(), (key + 300).bfloat16().float()
    expected = attend(query.double(), key.double(), value.double(), 0.3)
    with torch.no_grad():
        found = attention.attend(query.bfloat16(), key.bfloat16(), value.bfloat16(), 0.3)
        rounded = (query.bfloat16() @ key.bfloat16().transpose(1, 2) * 0.3).softmax(2) @ (
            value.bfloat16()
        )
    errors = [(x.double() - expected).norm() / expected.norm() for x in (found, rounded)]
    assert errors[0] < 0.1 < errors[1] / 2


def test_where_it_is_faster() -> None:
    with torch.no_grad():
        assert attention.suits_blocks(*rows(8, 24, torch.float32))
        assert attention.suits_blocks(*rows(24, 24, torch.bfloat16))
        assert not attention.suits_blocks(*rows(24, 24, torch.float32))
        assert not attention.suits_blocks(*rows(8, 24, torch.float32, count=100))
        assert not attention.suits_blocks(*(x.to("meta") for x in rows(8, 24, torch.float32)))
    learnt = [x.requires_grad_() for x in rows(8, 24, torch.float32)]
    assert not attention.suits_blocks(*learnt)
    traced = torch.jit.trace(
        lambda x: torch.tensor(attention.suits_blocks(x, x, x)), learnt[0].detach().bfloat16()
    )
    assert not traced(learnt[0].detach().bfloat16())
