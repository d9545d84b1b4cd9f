import numpy as np
import pytest

from mmseg_gc.errors import UserError
from mmseg_gc.models import TverskyLoss


@pytest.mark.parametrize(
    ("options", "classes", "weights"),
    [
        ({}, [0, 1, 2], [1] * 3),
        (dict(alpha=0.6, beta=0.4, smooth=0.1), [0, 1, 2], [1] * 3),
        (dict(class_weight=[1, 2, 5], loss_weight=0.5), [0, 1, 2], [1, 2, 5]),
        (dict(ignore_index=1), [0, 2], [1] * 3),
    ],
)
def test_equals_numpy(options, classes, weights, logits, label, p, check_gradient) -> None:
    ids = label.numpy()
    counts = (ids != 255) & (ids != options.get("ignore_index", 255))
    alpha, smooth = options.get("alpha", 0.3), options.get("smooth", 1)
    total = 0.0
    for c in classes:
        for n in range(2):
            q, truth = p[n, c][counts[n]], (ids[n] == c)[counts[n]]
            right, wrong, missed = q[truth].sum(), q[~truth].sum(), (1 - q[truth]).sum()
            index = (right + smooth) / (right + alpha * wrong + (1 - alpha) * missed + smooth)
            total += weights[c] * (1 - index) / 2
    loss = TverskyLoss(**options)
    expected = options.get("loss_weight", 1) * total / 3
    found = loss(logits, label, ignore_index=255)
    assert found.item() == pytest.approx(expected, rel=1e-9)
    check_gradient(lambda x: loss(x, label, ignore_index=255))


@pytest.mark.parametrize("smooth", [0, 1])
def test_all_ignored(smooth, check_nothing_learnt) -> None:
    check_nothing_learnt(TverskyLoss(smooth=smooth))


def test_the_head_s_ignored_label_doesn_t_count(logits, label) -> None:
    found = TverskyLoss()(logits, label.where(label != 255, 7), ignore_index=7)
    assert np.isclose(found.item(), TverskyLoss()(logits, label).item(), rtol=1e-12)


def test_wrong_options() -> None:
    with pytest.raises(UserError, match=r"alpha=0\.5 and beta=0\.7 must add up to 1"):
        TverskyLoss(alpha=0.5)
