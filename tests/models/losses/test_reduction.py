import pytest
import torch

from mmseg_gc.errors import UserError
from mmseg_gc.models.losses import get_class_weight, reduce_loss, weight_reduce_loss, weighted_loss
from mmseg_gc.models.losses.reduction import counted_pixels

LOSS = torch.tensor([1.0, 2.0, 6.0])
WEIGHT = torch.tensor([1.0, 0.5, 0.0])


def test_reduce_loss() -> None:
    assert reduce_loss(LOSS, "none") is LOSS
    assert reduce_loss(LOSS, "mean") == 3 and reduce_loss(LOSS, "sum") == 9


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 2 / 3),
        (dict(reduction="sum"), 2),
        (dict(avg_factor=4), 0.5),
        (dict(reduction="none", avg_factor=4), [1, 1, 0]),
    ],
)
def test_weight_reduce_loss(options: dict, expected: object) -> None:
    found = weight_reduce_loss(LOSS, WEIGHT, **options)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32))


def test_weighted_loss() -> None:
    @weighted_loss
    def difference(pred, target, scale=1):
        return scale * (pred - target).abs()

    pred, target = torch.tensor([0.0, 2, 3]), torch.ones(3)
    assert difference(pred, target) == pytest.approx(4 / 3)
    assert difference(pred, target, WEIGHT, scale=2) == pytest.approx(1)
    assert difference(pred, target, reduction="none").tolist() == [1, 1, 2]


def test_class_weight_as_it_is() -> None:
    assert get_class_weight([1, 2]) == [1, 2] and get_class_weight(None) is None


def test_counted_pixels() -> None:
    label = torch.tensor([0, 1, 255, 3])
    assert counted_pixels(label, None).all()
    assert counted_pixels(label, 255, 3, None).tolist() == [True, True, False, False]


def test_wrong_options() -> None:
    with pytest.raises(UserError, match="avg_factor does not go with"):
        weight_reduce_loss(LOSS, reduction="sum", avg_factor=1)
    with pytest.raises(UserError, match="no reduction='max'; choose one of none, mean, sum"):
        reduce_loss(LOSS, "max")
