import numpy as np
import pytest
import torch

from mmseg_gc.errors import UserError
from mmseg_gc.models import EMAHead
from mmseg_gc.models.decode_heads.ema_head import EMAttention


def test_steps_of_expectation_and_maximisation() -> None:
    module = EMAttention(channels=3, num_bases=2, num_stages=2, momentum=0.25)
    x = torch.randn(2, 3, 2, 4)
    before = module.bases[0].double().numpy()
    np.testing.assert_allclose(np.linalg.norm(before, axis=0), 1, rtol=1e-6)
    rows = x.flatten(2).transpose(1, 2).double().numpy()  # (N, positions, C)
    bases = np.stack([before, before])
    for _ in range(2):
        shares = np.exp(rows @ bases)
        shares /= shares.sum(2, keepdims=True)
        bases = rows.transpose(0, 2, 1) @ (shares / shares.sum(1, keepdims=True))
        bases /= np.linalg.norm(bases, axis=1, keepdims=True)
    rebuilt = (bases @ shares.transpose(0, 2, 1)).reshape(2, 3, 2, 4)
    np.testing.assert_allclose(module.eval()(x), rebuilt, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(module.bases[0], before)
    module.train()(x)
    mean = bases.mean(axis=0)
    expected = 0.75 * before + 0.25 * mean / np.linalg.norm(mean, axis=0)
    np.testing.assert_allclose(module.bases[0], expected, rtol=1e-4, atol=1e-6)


def test_bad_input() -> None:
    with pytest.raises(UserError, match="num_bases and num_stages from 1 on"):
        EMAHead(in_channels=1, channels=1, num_classes=2, ema_channels=1, num_bases=0, num_stages=1)
