import numpy as np
import pytest
import torch

from mmseg_gc.errors import UserError
from mmseg_gc.models import BoundaryLoss


def test_equals_numpy(logits, label, check_gradient) -> None:
    edges = (label == 1).long().where(label != 255, 255)
    x, truth = logits.detach().numpy()[:, 0].ravel(), edges.numpy().ravel()
    ones, zeros = (truth == 1).sum(), (truth == 0).sum()
    losses = np.where(truth == 1, np.log1p(np.exp(-x)) * zeros, np.log1p(np.exp(x)) * ones)
    expected = 3 * losses[truth < 2].sum() / (ones + zeros) / len(x)
    loss = BoundaryLoss(loss_weight=3)
    assert loss(logits[:, :1], edges).item() == pytest.approx(expected, rel=1e-12)
    check_gradient(lambda x: loss(x[:, :1], edges))


def test_no_pixel_counts(check_nothing_learnt) -> None:
    assert check_nothing_learnt(lambda x, label: BoundaryLoss()(x[:, :1], label)) == 0


def test_classes_are_no_edges(logits, label) -> None:
    with pytest.raises(UserError, match="one channel with an edge map, not 3 channels"):
        BoundaryLoss()(logits, label, ignore_index=255)
    assert torch.is_tensor(BoundaryLoss()(logits[:, :1], label, ignore_index=255))
