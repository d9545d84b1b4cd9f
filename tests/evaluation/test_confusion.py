import math

import numpy as np
import pytest
import torch

from mmseg_gc.evaluation import confusion
from mmseg_gc.evaluation.confusion import (
    ConfusionMatrix,
    class_figures,
    confusion_counts,
    overall_accuracy,
)

NAN = math.nan
# True ids in rows. Class 2 is found only where it is not; class 3 is neither true nor found.
COUNTS = torch.tensor([[3, 1, 0, 0], [2, 4, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])


@pytest.fixture(params=["cpu", "gpu"])
def count(request, monkeypatch):
    """`confusion_counts` as a CPU does it, and as a GPU does, whose way a CPU can go as well."""
    if request.param == "cpu":
        return confusion_counts

    def counts(pred, label, num_classes, ignore_index):
        found, extremes = confusion._on_device(pred, label, num_classes, ignore_index)
        confusion._check_extremes(extremes, num_classes)
        return found

    return counts


def by_loop(pred: torch.Tensor, label: torch.Tensor, num_classes: int, ignore_index: int):
    counts = torch.zeros(num_classes, num_classes, dtype=torch.int64)
    for found, true in zip(pred.flatten().tolist(), label.flatten().tolist(), strict=True):
        if true != ignore_index:
            counts[true, found] += 1
    return counts


@pytest.mark.parametrize("pred_dtype", [torch.uint8, torch.int64, torch.int32])
@pytest.mark.parametrize("label_dtype", [torch.uint8, torch.int64])
@pytest.mark.parametrize("ignore_index", [255, 5, 2])
def test_counts_against_a_loop(count, pred_dtype, label_dtype, ignore_index):
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(0, 5, (13, 7), generator=generator)
    label[torch.rand(label.shape, generator=generator) < 0.2] = ignore_index
    pred = torch.randint(0, 5, (13, 7), generator=generator)
    expected = by_loop(pred, label, 5, ignore_index)
    counts = count(pred.to(pred_dtype), label.to(label_dtype), 5, ignore_index)
    assert counts.dtype == torch.int64 and counts.equal(expected)


def test_ids_beyond_8_bits_and_a_negative_ignore_index(count):
    label = torch.tensor([[0, 300, -100], [299, 1, 1]])
    pred = torch.tensor([[0, 300, 4], [300, 1, 2]])
    counts = count(pred, label, 301, -100)
    assert counts.sum() == 5
    assert (counts[0, 0], counts[300, 300], counts[299, 300], counts[1, 1], counts[1, 2]) == (
        1,
    ) * 5


@pytest.mark.parametrize("ignore_index", [-100, 300])
def test_an_ignore_index_beyond_8_bits_ignores_no_other_label(count, ignore_index):
    """In 8 bits -100 is 156 and 300 is 44."""
    label = torch.tensor([[156, 44]], dtype=torch.uint8)
    pred = torch.tensor([[300, 44]])
    assert count(pred, label, 301, ignore_index).nonzero().tolist() == [[44, 44], [156, 300]]


def test_everything_ignored(count):
    ids = torch.full((2, 2), 255, dtype=torch.uint8)
    assert count(ids, ids, 3, 255).equal(torch.zeros(3, 3, dtype=torch.int64))


def test_views_are_counted_and_inputs_stay(count):
    ids = torch.arange(4, dtype=torch.uint8).view(2, 2)
    assert count(ids.t(), ids, 4, 255).nonzero().tolist() == [
        [0, 0],
        [1, 2],
        [2, 1],
        [3, 3],
    ]
    assert ids.tolist() == [[0, 1], [2, 3]]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
@pytest.mark.parametrize(
    ("pred", "label", "sentence"),
    [
        ([[0, 1]], [[0, 3]], r"label ids \[3\] are outside the 3 classes"),
        ([[4, 3]], [[0, 1]], r"predicted ids \[3, 4\] are outside the 3 classes"),
    ],
)
def test_ids_outside_the_classes(count, dtype, pred, label, sentence):
    with pytest.raises(ValueError, match=sentence):
        count(torch.tensor(pred, dtype=dtype), torch.tensor(label, dtype=dtype), 3, 255)


def test_many_images_add_up():
    matrix = ConfusionMatrix(2, 255)
    assert matrix.counts().tolist() == [[0, 0], [0, 0]]
    for label in ([[0, 1]], [[1, 255]]):
        matrix.add(torch.tensor([[0, 1]]), torch.tensor(label), "a.png")
    assert matrix.counts().tolist() == [[1, 0], [1, 1]] and matrix.counts().dtype == torch.int64


def test_a_wrong_id_is_reported_with_the_name_of_its_image():
    matrix = ConfusionMatrix(2, 255)
    matrix.add(torch.tensor([[0, 1]]), torch.tensor([[0, 255]]), "a.png")
    with pytest.raises(ValueError, match=r"b.png: label ids \[2\] are outside the 2 classes"):
        matrix.add(torch.tensor([[0, 1]]), torch.tensor([[0, 2]]), "b.png")


def test_what_is_predicted_on_ignored_pixels_is_nobodys_business(count):
    pred = torch.tensor([[9, 1]], dtype=torch.uint8)
    label = torch.tensor([[255, 1]], dtype=torch.uint8)
    assert count(pred, label, 2, 255).tolist() == [[0, 0], [0, 1]]


@pytest.mark.parametrize(
    ("name", "beta", "expected"),
    [
        ("mIoU", 1, {"IoU": [3 / 6, 4 / 8, 0, NAN], "Acc": [3 / 4, 4 / 7, NAN, NAN]}),
        ("mDice", 1, {"Dice": [6 / 9, 8 / 12, 0, NAN], "Acc": [3 / 4, 4 / 7, NAN, NAN]}),
        (
            "mFscore",
            1,
            {
                "Fscore": [6 / 9, 8 / 12, 0, NAN],
                "Precision": [3 / 5, 4 / 5, 0, NAN],
                "Recall": [3 / 4, 4 / 7, NAN, NAN],
            },
        ),
        ("mFscore", 2, {"Fscore": [15 / 21, 20 / 33, 0, NAN]}),
    ],
)
def test_figures_by_hand(name, beta, expected):
    figures = class_figures(COUNTS, name, beta)
    for figure, values in expected.items():
        wanted = torch.tensor(values, dtype=torch.float64)
        torch.testing.assert_close(figures[figure], wanted, equal_nan=True, rtol=1e-12, atol=0)


@pytest.mark.parametrize("beta", [0.5, 1, 2])
def test_fscore_and_precision_count_pixels_by_numpy(beta):
    """Class 3 is in the truth and never found, 4 found and nowhere true, 5 neither."""
    draw = np.random.default_rng(0)
    label, pred = draw.integers(0, 4, 4000), draw.choice([0, 1, 2, 4], 4000)
    counts = confusion_counts(torch.tensor(pred)[None], torch.tensor(label)[None], 6, 255)
    found = class_figures(counts, "mFscore", beta)
    for number in range(6):
        hit = ((label == number) & (pred == number)).sum()
        missed = ((label == number) & (pred != number)).sum()
        false = ((label != number) & (pred == number)).sum()
        exists = hit + missed + false > 0
        weighed = (1 + beta**2) * hit + beta**2 * missed + false
        assert found["Fscore"][number].item() == pytest.approx(
            (1 + beta**2) * hit / weighed if exists else NAN, nan_ok=True
        )
        precision = hit / (hit + false) if hit + false else 0.0
        assert found["Precision"][number].item() == pytest.approx(
            precision if exists else NAN, nan_ok=True
        )
    if beta == 1:
        torch.testing.assert_close(
            found["Fscore"], class_figures(counts, "mDice")["Dice"], equal_nan=True
        )


def test_overall_accuracy_by_hand():
    assert overall_accuracy(COUNTS).item() == pytest.approx(7 / 11, rel=1e-12)
    assert overall_accuracy(torch.zeros(2, 2, dtype=torch.int64)).isnan()


def test_large_counts_stay_exact():
    """Sums in float32 lose single pixels above 2**24."""
    counts = torch.tensor([[2**24 + 1, 0], [0, 2**24]])
    counts[0, 1] = 1
    assert class_figures(counts, "mIoU")["IoU"][0].item() == (2**24 + 1) / (2**24 + 2)
