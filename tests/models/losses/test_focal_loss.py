import numpy as np
import pytest
import torch

from mmseg_gc.errors import UserError
from mmseg_gc.models import FocalLoss


def focal(x: np.ndarray, truth: np.ndarray, gamma: float, alpha: np.ndarray) -> np.ndarray:
    """Of logits and ones and zeros, both (N, C, H, W), number by number."""
    losses = np.empty_like(x)
    for place in np.ndindex(x.shape):
        p, share = 1 / (1 + np.exp(-x[place])), alpha[place[1]]
        if truth[place]:
            losses[place] = -share * (1 - p) ** gamma * np.log(p)
        else:
            losses[place] = -(1 - share) * p**gamma * np.log(1 - p)
    return losses


@pytest.mark.parametrize(
    ("options", "gamma", "alpha", "weights"),
    [
        ({}, 2.0, [0.5] * 3, [1] * 3),
        (dict(gamma=0.5, alpha=0.25), 0.5, [0.25] * 3, [1] * 3),
        (dict(alpha=[0.125, 0.5, 0.875]), 2.0, [0.125, 0.5, 0.875], [1] * 3),
        (dict(class_weight=[1, 2, 5]), 2.0, [0.5] * 3, [1, 2, 5]),
    ],
)
def test_equals_numpy(options, gamma, alpha, weights, logits, label, check_gradient) -> None:
    ids, x = label.numpy(), logits.detach().numpy()
    truth = np.stack([ids == c for c in range(3)], axis=1)
    losses = focal(x, truth, gamma, np.array(alpha)) * np.array(weights).reshape(1, 3, 1, 1)
    losses *= (ids != 255)[:, None]
    loss = FocalLoss(**options, loss_weight=2.0)
    near = dict(rel=1e-9)
    assert loss(logits, label).item() == pytest.approx(2 * losses.mean(), **near)
    total = loss(logits, label, reduction_override="sum").item()
    assert total == pytest.approx(2 * losses.sum(), **near)
    found = loss(logits, label, reduction_override="none")
    assert found.detach().numpy() == pytest.approx(2 * losses, **near)
    assert loss(logits, label, avg_factor=7).item() == pytest.approx(2 * losses.sum() / 7, rel=1e-6)
    check_gradient(lambda x: loss(x, label))


def test_masks_as_large_as_the_logits(logits, label) -> None:
    ids = label % 3
    masks = torch.stack([ids == c for c in range(3)], dim=1)
    assert FocalLoss()(logits, masks).item() == pytest.approx(FocalLoss()(logits, ids).item())


def test_one_channel_is_class_1(logits, label) -> None:
    x, ids = logits[:, :1], label.where(label == 255, label % 2)
    losses = focal(x.detach().numpy(), (ids == 1).numpy()[:, None], 2, np.array([0.5]))
    losses *= (ids != 255).numpy()[:, None]
    assert FocalLoss()(x, ids).item() == pytest.approx(losses.mean(), rel=1e-12)


def test_weights_of_pixels_and_of_logits(logits, label) -> None:
    loss, weight = FocalLoss(), torch.rand(2, 4, 5)
    losses = loss(logits, label, reduction_override="none")
    expected = (losses * weight[:, None]).mean().item()
    assert loss(logits, label, weight).item() == pytest.approx(expected)
    assert loss(logits, label, weight.flatten()).item() == pytest.approx(expected)  # as in mmseg
    assert loss(logits, label, weight[:, None].expand(2, 3, 4, 5)).item() == pytest.approx(expected)


def test_all_ignored(check_nothing_learnt) -> None:
    assert check_nothing_learnt(FocalLoss()) == 0


def test_wrong_options(logits, label) -> None:
    with pytest.raises(UserError, match="alpha has 2 numbers for 3 channels; give one a class"):
        FocalLoss(alpha=[0.5, 0.5])(logits, label)
    with pytest.raises(UserError, match="no softmax form"):
        FocalLoss(use_sigmoid=False)
    with pytest.raises(UserError, match="no reduction='max'"):
        FocalLoss(reduction="max")
