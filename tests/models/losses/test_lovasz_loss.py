import numpy as np
import pytest
import torch

from mmseg_gc.errors import UserError
from mmseg_gc.models import LovaszLoss


def extension(errors: np.ndarray, truth: np.ndarray) -> float:
    """By the definition: the Jaccard losses of the k pixels of the largest errors."""
    order = np.argsort(-errors)
    total, last = 0.0, 0.0
    for k in range(1, len(order) + 1):
        wrong = np.zeros(len(order), bool)
        wrong[order[:k]] = True
        predicted = truth ^ wrong
        union = (truth | predicted).sum()
        jaccard = 1 - (truth & predicted).sum() / union if union else 0.0
        total += max(errors[order[k - 1]], 0) * (jaccard - last)
        last = jaccard
    return total


def of_classes(p, ids, classes, weights) -> float:
    p, counts = np.moveaxis(p, 1, 0).reshape(3, -1), ids.ravel() != 255
    truths = {c: (ids.ravel() == c)[counts] for c in range(3)}
    chosen = [c for c in range(3) if truths[c].any()] if classes == "present" else classes
    losses = [weights[c] * extension(np.abs(truths[c] - p[c][counts]), truths[c]) for c in chosen]
    return float(np.mean(losses)) if losses else 0.0


@pytest.mark.parametrize(
    ("options", "classes", "weights"),
    [
        ({}, "present", [1] * 3),
        (dict(classes="all"), [0, 1, 2], [1] * 3),
        (dict(classes=[2, 0]), [2, 0], [1] * 3),
        (dict(class_weight=[1, 2, 5]), "present", [1, 2, 5]),
    ],
)
@pytest.mark.parametrize("absent", [None, 1])
def test_softmax_equals_numpy(options, classes, weights, absent, logits, label, p, check_gradient):
    if absent is not None:
        label = label.where(label != absent, 0)
    whole = LovaszLoss(reduction="none", loss_weight=0.5, **options)
    expected = 0.5 * of_classes(p, label.numpy(), classes, weights)
    assert whole(logits, label).item() == pytest.approx(expected, rel=1e-9)
    if absent is None:
        check_gradient(lambda x: whole(x, label))
    each = [of_classes(p[n : n + 1], label.numpy()[n], classes, weights) for n in range(2)]
    per_image = LovaszLoss(per_image=True, **options)
    assert per_image(logits, label).item() == pytest.approx(np.mean(each), rel=1e-9)
    found = per_image(logits, label, reduction_override="none")
    assert found.tolist() == pytest.approx(each, rel=1e-9)
    assert per_image(logits, label, avg_factor=4).item() == pytest.approx(sum(each) / 4, rel=1e-6)


@pytest.mark.parametrize("per_image", [False, True])
def test_hinge_equals_numpy(per_image, logits, label, check_gradient) -> None:
    ids = label.where(label == 255, label % 2)
    loss = LovaszLoss("binary", per_image=per_image, reduction="mean" if per_image else "none")
    parts = [[0], [1]] if per_image else [[0, 1]]
    losses = []
    for part in parts:
        x, truth = logits.detach().numpy()[part, 0].ravel(), ids.numpy()[part].ravel()
        x, truth = x[truth != 255], truth[truth != 255] == 1
        losses.append(extension(1 - x * (2 * truth - 1), truth))
    assert loss(logits[:, :1], ids).item() == pytest.approx(np.mean(losses), rel=1e-9)
    assert loss(logits[:, 0], ids).item() == pytest.approx(np.mean(losses), rel=1e-9)
    check_gradient(lambda x: loss(x[:, :1], ids))


@pytest.mark.parametrize("loss_type", ["binary", "multi_class"])
@pytest.mark.parametrize("per_image", [False, True])
@pytest.mark.parametrize("classes", ["present", "all"])
def test_all_ignored(loss_type, per_image, classes, check_nothing_learnt) -> None:
    reduction = "mean" if per_image else "none"
    loss = LovaszLoss(loss_type, classes=classes, per_image=per_image, reduction=reduction)
    channels = 1 if loss_type == "binary" else 3
    assert check_nothing_learnt(lambda x, label: loss(x[:, :channels], label)) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(loss_type="hinge"), "no loss_type='hinge'; choose binary or multi_class"),
        (dict(classes="some", per_image=True), "no classes='some'; choose all, present or"),
        ({}, "reduction='none', or per_image=True"),
    ],
)
def test_wrong_options(options, words) -> None:
    with pytest.raises(UserError, match=words):
        LovaszLoss(**options)


def test_several_channels_are_no_binary_logit() -> None:
    with pytest.raises(UserError, match="takes one channel, not 3: set the head's out_channels=1"):
        LovaszLoss("binary", reduction="none")(torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 2).long())
