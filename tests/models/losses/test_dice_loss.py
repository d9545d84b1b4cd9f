import numpy as np
import pytest
import torch

from mmseg_gc.errors import UserError
from mmseg_gc.models import DiceLoss

EPS = 1e-3


def dice(p: np.ndarray, label: np.ndarray, classes: list[int], naive: bool) -> np.ndarray:
    """One minus Dice of each image, with a map of ones and zeros for each class."""
    truth = np.stack([label == c for c in classes], axis=1).astype(float)
    p, truth = p[:, classes].reshape(len(p), -1), truth.reshape(len(p), -1)
    shared = (p * truth).sum(1)
    if naive:
        return 1 - (2 * shared + EPS) / (p.sum(1) + truth.sum(1) + EPS)
    return 1 - 2 * shared / ((p**2).sum(1) + EPS + (truth**2).sum(1) + EPS)


def sigmoid(x):
    return 1 / (1 + np.exp(-x.detach().numpy()))


@pytest.mark.parametrize("naive", [False, True])
@pytest.mark.parametrize("by_sigmoid", [False, True])
@pytest.mark.parametrize(("left_out", "classes"), [(255, [0, 1, 2]), (1, [0, 2]), (0, [1, 2])])
def test_equals_numpy(naive, by_sigmoid, left_out, classes, logits, label, p, check_gradient):
    options = dict(use_sigmoid=by_sigmoid, naive_dice=naive, ignore_index=left_out)
    loss = DiceLoss(**options, loss_weight=0.5)
    expected = dice(sigmoid(logits) if by_sigmoid else p, label.numpy(), classes, naive)
    assert loss(logits, label).item() == pytest.approx(0.5 * expected.mean(), rel=1e-12)
    none = loss(logits, label, reduction_override="none")
    assert none.tolist() == pytest.approx((0.5 * expected).tolist(), rel=1e-12)
    check_gradient(lambda x: loss(x, label))


def test_masks_as_large_as_the_logits(logits, label, p) -> None:
    masks = torch.stack([label == c for c in range(3)], dim=1)
    for options in ({}, dict(naive_dice=True), dict(ignore_index=1)):
        loss = DiceLoss(use_sigmoid=False, **options)
        assert loss(logits, masks).item() == pytest.approx(loss(logits, label).item(), rel=1e-12)
    given = DiceLoss(activate=False)(torch.from_numpy(p), label)
    assert given.item() == pytest.approx(DiceLoss(use_sigmoid=False)(logits, label).item())


def test_weights_of_images_and_sums(logits, label) -> None:
    loss = DiceLoss()
    one, two = loss(logits, label, reduction_override="none").tolist()
    weighed = loss(logits, label, torch.tensor([1.0, 3.0]), avg_factor=2)
    assert weighed.item() == pytest.approx((one + 3 * two) / 2)
    assert DiceLoss(reduction="sum")(logits, label).item() == pytest.approx(one + two)


def test_one_channel_is_class_1(logits, label) -> None:
    """As for cross entropy; ignored pixels are learnt to be nothing."""
    x, ids = logits[:, :1], label.where(label == 255, label % 2)
    q, truth = sigmoid(x)[:, 0].reshape(2, -1), (ids == 1).numpy().reshape(2, -1)
    expected = 1 - 2 * (q * truth).sum(1) / ((q**2).sum(1) + truth.sum(1) + 2 * EPS)
    assert DiceLoss()(x, ids).item() == pytest.approx(expected.mean(), rel=1e-12)


@pytest.mark.parametrize("naive", [False, True])
def test_all_ignored(naive, check_nothing_learnt) -> None:
    value = check_nothing_learnt(DiceLoss(naive_dice=naive))
    assert value.item() == pytest.approx(1, abs=1e-3)


def test_the_head_s_ignored_label_is_no_class(logits, label) -> None:
    found = DiceLoss()(logits, label, ignore_index=2)
    assert found.item() == DiceLoss()(logits, label.where(label != 2, 255)).item()


def test_wrong_use(logits, label) -> None:
    with pytest.raises(UserError, match="no reduction='max'"):
        DiceLoss(reduction="max")
    with pytest.raises(UserError, match="ignore_index=0 is its only class"):
        DiceLoss(ignore_index=0)(logits[:, :1], label)
    with pytest.raises(UserError, match=r"one weight an image, 2, and not \(2, 4, 5\)"):
        DiceLoss()(logits, label, torch.ones(2, 4, 5))
