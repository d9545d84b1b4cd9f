import numpy as np
import pytest
import torch

from mmseg_gc.errors import UserError
from mmseg_gc.models import HausdorffDistanceLoss, HuasdorffDisstanceLoss
from mmseg_gc.models.losses import hausdorff_distance_loss
from mmseg_gc.models.losses.hausdorff_distance_loss import squared_distances
from mmseg_gc.registry import MODELS


def distances(mask: np.ndarray) -> np.ndarray:
    """Squared, from each pixel inside to every one outside."""
    outside = np.argwhere(~mask)
    outside = outside if len(outside) else np.array([[-1, 0]])
    found = np.zeros(mask.shape)
    for place in np.argwhere(mask):
        found[tuple(place)] = ((outside - place) ** 2).sum(1).min()
    return found


@pytest.mark.parametrize("share", [0.0, 0.03, 0.5, 1.0])
@pytest.mark.parametrize("size", [(9, 14), (1, 5), (6, 1)])
def test_distances(share, size, monkeypatch) -> None:
    monkeypatch.setattr(hausdorff_distance_loss, "CHUNK", 3 * 2 * size[0] * size[1])
    masks = np.random.RandomState(0).rand(2, *size) >= share
    found = squared_distances(torch.from_numpy(masks)).numpy()
    np.testing.assert_array_equal(found, np.stack([distances(mask) for mask in masks]))


@pytest.mark.parametrize(
    ("options", "classes", "weights"),
    [
        ({}, [1, 2], [1] * 3),
        (dict(ignore_index=1), [2], [1] * 3),
        (dict(class_weight=[1, 2, 5]), [1, 2], [1, 2, 5]),
    ],
)
def test_equals_numpy(options, classes, weights, logits, label, p, check_gradient) -> None:
    ids = label.numpy() * (label.numpy() != 255) * (label.numpy() != options.get("ignore_index"))
    inside = np.stack(
        [distances(a != 0) + distances(b.argmax(0) != 0) for a, b in zip(ids, p, strict=True)]
    )
    losses = [weights[c] * ((p[:, c] - ids) ** 2 * inside).mean() for c in classes]
    loss = HausdorffDistanceLoss(loss_weight=0.5, **options)
    found = loss(logits, label, ignore_index=255)
    assert found.item() == pytest.approx(0.5 * sum(losses) / 3, rel=1e-9)
    check_gradient(lambda x: loss(x, label, ignore_index=255))


def test_all_ignored(check_nothing_learnt) -> None:
    check_nothing_learnt(HausdorffDistanceLoss())


def test_both_names() -> None:
    """The published one is misspelt."""
    for name in ("HuasdorffDisstanceLoss", "HausdorffDistanceLoss"):
        assert (
            type(MODELS.build(dict(type=name))) is HuasdorffDisstanceLoss is HausdorffDistanceLoss
        )


def test_the_background_alone_is_refused(logits, label) -> None:
    with pytest.raises(UserError, match="no class beside the background"):
        HausdorffDistanceLoss()(logits[:, :1], label)
