import pytest
import torch

from mmseg_gc.models.segmentors import labels as module
from mmseg_gc.models.segmentors.labels import band_height, label_map, labels_of
from mmseg_gc.models.segmentors.score_maps import DenseScores


@pytest.mark.parametrize(
    ("classes", "dtype"), [(2, torch.uint8), (256, torch.uint8), (257, torch.int64)]
)
def test_labels_use_a_byte_where_it_is_enough(classes: int, dtype: torch.dtype) -> None:
    scores = torch.zeros(classes, 1, 2)
    scores[-1, 0, 1] = 1
    labels = labels_of(scores, None)
    assert labels.dtype == dtype
    assert labels.tolist() == [[[0, classes - 1]]]  # The first of equals, as argmax has it.


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-15, 1.0, 1e30])
def test_labels_are_the_argmax(dtype: torch.dtype, scale: float) -> None:
    scores = torch.randn(19, 40, 50, dtype=dtype) * scale
    scores[7] = -float("inf")
    kept = scores.clone()
    assert torch.equal(labels_of(scores, None)[0], scores.argmax(0).to(torch.uint8))
    assert torch.equal(scores, kept)


def test_neighbours_in_float32_are_told_apart() -> None:
    scores = torch.ones(3, 1, 1)
    scores[2] = torch.nextafter(scores[2], torch.tensor(2.0))
    assert labels_of(scores, None).item() == 2


def test_one_channel_is_held_to_the_threshold() -> None:
    assert labels_of(torch.tensor([[[0.2, 0.4]]]), 0.3).tolist() == [[[0, 1]]]


@pytest.mark.parametrize("classes", [1, 5, 300])
@pytest.mark.parametrize("budget", [None, 1, 10**6])
def test_bands_make_up_the_whole(
    budget: int | None, classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BAND", 4 * classes * 30 * 7)
    scores = torch.randn(classes, 23, 30)
    labels = label_map(DenseScores(scores), 0.3, budget)
    expected = labels_of(scores, 0.3)
    assert torch.equal(labels, expected) and labels.dtype == expected.dtype


def test_band_height_keeps_to_the_cache_and_the_budget() -> None:
    scores = DenseScores(torch.zeros(19, 1024, 2048))
    height = band_height(scores)
    assert height * 19 * 2048 * 4 <= module.BAND < (height + 1) * 19 * 2048 * 4
    assert band_height(scores, 10**6) == 1
    assert band_height(DenseScores(torch.zeros(2, 3, 4))) == 3
