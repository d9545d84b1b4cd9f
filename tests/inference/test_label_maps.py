import pytest
import torch

from mmseg_gc.inference import label_maps as module
from mmseg_gc.inference.label_maps import chunk_height, label_image, labels_of
from mmseg_gc.inference.logit_maps import ResampledLogits


@pytest.mark.parametrize(
    ("classes", "dtype"), [(2, torch.uint8), (256, torch.uint8), (257, torch.int64)]
)
def test_labels_use_a_byte_where_it_is_enough(classes: int, dtype: torch.dtype) -> None:
    logits = torch.zeros(classes, 1, 2)
    logits[-1, 0, 1] = 1
    labels = labels_of(logits, None)
    assert labels.dtype == dtype
    assert labels.tolist() == [[[0, classes - 1]]]  # The first of equals, as argmax has it.


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-15, 1.0, 1e30])
def test_labels_are_the_argmax(dtype: torch.dtype, scale: float) -> None:
    logits = torch.randn(19, 40, 50, dtype=dtype) * scale
    logits[7] = -float("inf")
    kept = logits.clone()
    assert torch.equal(labels_of(logits, None)[0], logits.argmax(0).to(torch.uint8))
    assert torch.equal(logits, kept)


def test_neighbours_in_float32_are_told_apart() -> None:
    logits = torch.ones(3, 1, 1)
    logits[2] = torch.nextafter(logits[2], torch.tensor(2.0))
    assert labels_of(logits, None).item() == 2


def test_one_channel_is_held_to_the_threshold() -> None:
    assert labels_of(torch.tensor([[[0.2, 0.4]]]), 0.3).tolist() == [[[0, 1]]]


@pytest.mark.parametrize("classes", [1, 5, 300])
@pytest.mark.parametrize("budget", [None, 1, 10**6])
def test_chunks_make_up_the_whole(
    budget: int | None, classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK_BYTES", {"cpu": 4 * classes * 30 * 7})
    logits = torch.randn(classes, 23, 30)
    labels = label_image(ResampledLogits(logits), 0.3, budget)
    expected = labels_of(logits, 0.3)
    assert torch.equal(labels, expected) and labels.dtype == expected.dtype


def test_chunk_height_keeps_to_the_cache_and_the_budget() -> None:
    logits = ResampledLogits(torch.zeros(19, 1024, 2048))
    height = chunk_height(logits)
    assert height * 19 * 2048 * 4 <= module.CHUNK_BYTES["cpu"] < (height + 1) * 19 * 2048 * 4
    assert chunk_height(logits, 10**6) == 1
    assert chunk_height(ResampledLogits(torch.zeros(2, 3, 4))) == 3


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("in_place", [False, True])
def test_what_is_not_finite_is_argmax_s_as_well(value: float, in_place: bool) -> None:
    logits = torch.randn(5, 3, 4)
    logits[3, 1, 2] = value
    logits[:, 2] = -float("inf")
    expected = logits.numpy().argmax(0)  # the first NaN or infinity, or else the first of equals
    assert expected[1, 2] == 3 and not expected[2].any()
    assert labels_of(logits, None, in_place)[0].tolist() == expected.tolist()


def test_one_channel_without_a_threshold_is_held_to_mmsegmentation_s() -> None:
    assert labels_of(torch.tensor([[[0.2, 0.4]]]), None).tolist() == [[[0, 1]]]
