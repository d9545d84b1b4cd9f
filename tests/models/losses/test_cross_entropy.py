import json
import math

import numpy as np
import pytest
import torch

from mmseg_gc.errors import UserError
from mmseg_gc.models import CrossEntropyLoss

# Logarithms of probabilities are logits whose softmax is known: 3 classes, 2 x 2 pixels.
PROBABILITIES = torch.tensor([[[[0.5, 0.1], [0.2, 0.8]], [[0.25, 0.6], [0.3, 0.1]]]])
PROBABILITIES = torch.cat([PROBABILITIES, 1 - PROBABILITIES.sum(1, keepdim=True)], dim=1)
LOGITS = PROBABILITIES.log()
LABEL = torch.tensor([[[0, 1], [2, 255]]])
LOSSES = [-math.log(p) for p in (0.5, 0.6, 0.5)]  # Of the three pixels not ignored.
WEIGHTS = [1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, sum(LOSSES) / 4),
        (dict(avg_non_ignore=True), sum(LOSSES) / 3),
        (dict(reduction="sum"), sum(LOSSES)),
        (dict(loss_weight=0.4), 0.4 * sum(LOSSES) / 4),
    ]
    + [
        (
            dict(class_weight=WEIGHTS, avg_non_ignore=flag),
            sum(w * loss for w, loss in zip(WEIGHTS, LOSSES, strict=True)) / sum(WEIGHTS),
        )
        for flag in (False, True)
    ],
)
def test_softmax_by_hand(options: dict, expected: float) -> None:
    loss = CrossEntropyLoss(**options)(LOGITS, LABEL, ignore_index=255)
    assert loss.item() == pytest.approx(expected)


def test_no_reduction_leaves_zero_where_ignored() -> None:
    loss = CrossEntropyLoss(reduction="none")(LOGITS, LABEL, ignore_index=255)
    torch.testing.assert_close(loss, torch.tensor([[[LOSSES[0], LOSSES[1]], [LOSSES[2], 0.0]]]))


def test_pixel_weight_and_given_factor() -> None:
    weight = torch.tensor([[[1.0, 0.0], [3.0, 9.0]]])
    loss = CrossEntropyLoss()(LOGITS, LABEL, weight, avg_factor=5, ignore_index=255)
    assert loss.item() == pytest.approx((LOSSES[0] + 3 * LOSSES[2]) / 5)


@pytest.mark.parametrize("use_sigmoid", [False, True])
@pytest.mark.parametrize("avg_non_ignore", [False, True])
@pytest.mark.parametrize("class_weight", [None, WEIGHTS])
def test_all_ignored_is_zero_with_zero_gradient(
    use_sigmoid: bool, avg_non_ignore: bool, class_weight: list[float] | None
) -> None:
    logits = LOGITS.clone().requires_grad_()
    criterion = CrossEntropyLoss(
        use_sigmoid=use_sigmoid, avg_non_ignore=avg_non_ignore, class_weight=class_weight
    )
    loss = criterion(logits, torch.full_like(LABEL, 255), ignore_index=255)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.eq(0).all()


# One channel: logits of the probabilities 0.5, 0.2, 0.9 and 0.3 of class 1.
BINARY = torch.logit(torch.tensor([[[[0.5, 0.2], [0.9, 0.3]]]]))
BINARY_LABEL = torch.tensor([[[1, 0], [1, 255]]])
BINARY_LOSSES = [-math.log(p) for p in (0.5, 0.8, 0.9)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, sum(BINARY_LOSSES) / 4),
        (dict(avg_non_ignore=True), sum(BINARY_LOSSES) / 3),
        (
            dict(class_weight=[3.0], reduction="sum"),
            3 * BINARY_LOSSES[0] + BINARY_LOSSES[1] + 3 * BINARY_LOSSES[2],
        ),
    ],
)
def test_sigmoid_on_one_channel_by_hand(options: dict, expected: float) -> None:
    criterion = CrossEntropyLoss(use_sigmoid=True, **options)
    assert criterion(BINARY, BINARY_LABEL, ignore_index=255).item() == pytest.approx(expected)
    assert criterion(BINARY, BINARY_LABEL % 256, ignore_index=255).dim() == 0


@pytest.mark.parametrize(
    ("options", "divisor", "positive"),
    [
        ({}, 8, (1, 1)),
        (dict(avg_non_ignore=True), 6, (1, 1)),
        (dict(class_weight=[2, 5]), 8, (2, 5)),
    ],
)
def test_sigmoid_on_two_channels_by_hand(
    options: dict, divisor: int, positive: tuple[int, int]
) -> None:
    first, second = [0.5, 0.2, 0.9, 0.3], [0.4, 0.6, 0.7, 0.1]
    logits = torch.logit(torch.tensor([[first, second]])).view(1, 2, 2, 2)
    label = torch.tensor([[[0, 1], [1, 255]]])
    expected = 0.0
    for p, q, target in zip(first[:3], second[:3], (0, 1, 1), strict=True):
        if target == 0:
            expected += -positive[0] * math.log(p) - math.log(1 - q)
        else:
            expected += -math.log(1 - p) - positive[1] * math.log(q)
    loss = CrossEntropyLoss(use_sigmoid=True, **options)(logits, label, ignore_index=255)
    assert loss.item() == pytest.approx(expected / divisor)


def test_nothing_ignored() -> None:
    label = torch.tensor([[[0, 1], [2, 0]]])
    expected = (sum(LOSSES) - math.log(0.8)) / 4
    loss = CrossEntropyLoss(avg_non_ignore=True)(LOGITS, label, ignore_index=None)
    assert loss.item() == pytest.approx(expected)
    binary = CrossEntropyLoss(use_sigmoid=True)(BINARY, BINARY_LABEL % 255, ignore_index=None)
    assert binary.item() == pytest.approx((sum(BINARY_LOSSES) - math.log(0.7)) / 4)


def test_class_weight_from_files_and_off_the_state_dict(tmp_path) -> None:
    np.save(tmp_path / "w.npy", np.array(WEIGHTS))
    (tmp_path / "w.json").write_text(json.dumps(WEIGHTS))
    for name in ("w.npy", "w.json"):
        criterion = CrossEntropyLoss(class_weight=str(tmp_path / name))
        assert criterion.class_weight.tolist() == WEIGHTS
        assert not criterion.state_dict()


def test_a_class_weight_file_cannot_run_code(tmp_path) -> None:
    np.save(tmp_path / "w.npy", np.array([object()]), allow_pickle=True)
    with pytest.raises(UserError, match="w.npy.*cannot be read"):
        CrossEntropyLoss(class_weight=str(tmp_path / "w.npy"))
    with pytest.raises(UserError, match="w.pkl.*no safe format.*npy or .json"):
        CrossEntropyLoss(class_weight=str(tmp_path / "w.pkl"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(reduction="max"), "reduction='max'.*none, mean, sum"),
        (dict(use_mask=True), "use_mask"),
        (dict(class_weight="missing.json"), "missing.json.*cannot be read"),
    ],
)
def test_wrong_options(options: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        CrossEntropyLoss(**options)


def test_a_label_that_one_channel_cannot_mean_makes_the_loss_nan() -> None:
    loss = CrossEntropyLoss(use_sigmoid=True)
    assert loss(BINARY, LABEL, ignore_index=255).isnan()
    assert not loss(BINARY, BINARY_LABEL, ignore_index=255).isnan()


def test_wrong_calls() -> None:
    with pytest.raises(UserError, match="2 numbers for the 3 output channels"):
        CrossEntropyLoss(class_weight=[1, 2])(LOGITS, LABEL, ignore_index=255)
    with pytest.raises(UserError, match="avg_factor"):
        CrossEntropyLoss(reduction="sum")(LOGITS, LABEL, avg_factor=2, ignore_index=255)


def test_weights_of_nothing_but_zeros_are_refused() -> None:
    with pytest.raises(UserError, match="is 0 for every class"):
        CrossEntropyLoss(class_weight=[0.0, 0.0])
