"""Logits and labels that every loss is computed of, here and by NumPy in its test."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor


@pytest.fixture
def logits() -> Tensor:
    """(2, 3, 4, 5), float64."""
    values = np.random.RandomState(0).standard_normal((2, 3, 4, 5)) * 2
    return torch.from_numpy(values).requires_grad_()


@pytest.fixture
def label() -> Tensor:
    """(2, 4, 5), a quarter of it 255."""
    draw = np.random.RandomState(1)
    ids = draw.randint(0, 3, (2, 4, 5))
    ids[draw.rand(*ids.shape) < 0.25] = 255
    return torch.from_numpy(ids)


def softmax(logits: np.ndarray) -> np.ndarray:
    exp = np.exp(logits - logits.max(1, keepdims=True))
    return exp / exp.sum(1, keepdims=True)


@pytest.fixture
def p(logits: Tensor) -> np.ndarray:
    """Softmax of the logits."""
    return softmax(logits.detach().numpy())


@pytest.fixture
def check_gradient(logits: Tensor) -> Callable[[Callable[[Tensor], Tensor]], None]:
    """Compare a loss's gradient with finite differences."""

    def check(loss: Callable[[Tensor], Tensor]) -> None:
        assert torch.autograd.gradcheck(loss, (logits,), fast_mode=True)

    return check


@pytest.fixture
def check_nothing_learnt(logits: Tensor) -> Callable[[Callable[[Tensor, Tensor], Tensor]], Tensor]:
    """A loss of which every pixel is ignored is finite, and its gradient 0."""

    def check(loss: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        value = loss(logits, torch.full((2, 4, 5), 255))
        assert value.dim() == 0 and value.isfinite()
        value.backward()
        assert logits.grad is not None and not logits.grad.any()
        return value

    return check
