from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from mmseg_gc.errors import UserError
from mmseg_gc.models import CrossEntropyLoss, DiceLoss
from mmseg_gc.models.samplers import OHEMPixelSampler
from mmseg_gc.registry import TASK_UTILS


def example(*losses: nn.Module, ignore_index: int | None = 255):
    draw = np.random.RandomState(0)
    logits = draw.standard_normal((2, 3, 6, 7)) * 2
    ids = draw.randint(0, 3, (2, 6, 7))
    if ignore_index is not None:
        ids[draw.rand(2, 6, 7) < 0.2] = ignore_index
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    p = np.take_along_axis(p, np.where(ids == 255, 0, ids)[:, None], 1)[:, 0]
    p = np.where(ids == (-1 if ignore_index is None else ignore_index), np.nan, p)
    of_head = losses[0] if len(losses) == 1 else nn.ModuleList(losses)
    context = SimpleNamespace(ignore_index=ignore_index, loss_decode=of_head)
    return torch.from_numpy(logits), torch.from_numpy(ids)[:, None], p, context


@pytest.mark.parametrize("min_kept", [2, 10, 40, 1000])
@pytest.mark.parametrize("thresh", [0.1, 0.7])
@pytest.mark.parametrize("ignore_index", [255, None])
def test_low_probabilities(min_kept, thresh, ignore_index) -> None:
    logits, label, p, context = example(CrossEntropyLoss(), ignore_index=ignore_index)
    weight = OHEMPixelSampler(context, thresh=thresh, min_kept=min_kept).sample(logits, label)
    lowest = np.sort(p[~np.isnan(p)])
    bound = max(thresh, lowest[min(2 * min_kept, len(lowest) - 1)])
    np.testing.assert_array_equal(weight.numpy(), p < bound)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("min_kept", [2, 10, 1000])
def test_large_losses(count, min_kept) -> None:
    logits, label, p, context = example(*[CrossEntropyLoss()] * count)
    weight = OHEMPixelSampler(context, min_kept=min_kept).sample(logits, label)
    kept = min(2 * min_kept, (~np.isnan(p)).sum())
    assert weight.sum() == kept
    np.testing.assert_array_equal(weight.numpy(), p <= np.sort(p[~np.isnan(p)])[kept - 1])


@pytest.mark.parametrize("thresh", [0.7, None])
def test_all_ignored(thresh) -> None:
    logits, label, _, context = example(CrossEntropyLoss())
    label = torch.full_like(label, 255)
    assert not OHEMPixelSampler(context, thresh=thresh).sample(logits, label).any()


def test_wrong_use() -> None:
    with pytest.raises(UserError, match="min_kept is 1: give 2"):
        TASK_UTILS.build(dict(type="OHEMPixelSampler", context=None, min_kept=1))
    logits, label, _, context = example(DiceLoss())
    with pytest.raises(UserError, match="wants losses of single pixels"):
        OHEMPixelSampler(context).sample(logits, label)


def test_two_sizes_are_told() -> None:
    sampler = OHEMPixelSampler(context=SimpleNamespace(ignore_index=255), thresh=0.7)
    with pytest.raises(UserError, match=r"logits of \(4, 5\) and labels of \(8, 10\)"):
        sampler.sample(torch.zeros(1, 3, 4, 5), torch.zeros(1, 1, 8, 10, dtype=torch.long))
