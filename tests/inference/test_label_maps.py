import pytest
import torch
import torch.nn.functional as F

from mmseg_gc.inference import label_maps as module
from mmseg_gc.inference.label_maps import (
    LogitMap,
    MeanProbabilities,
    ResampledLogits,
    SigmoidProbabilities,
    chunk_height,
    label_image,
    labels_of,
)

LOGITS = torch.randn(3, 7, 9, generator=torch.Generator().manual_seed(0))


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


def in_chunks(logits: LogitMap, step: int) -> torch.Tensor:
    height = logits.size[0]
    chunks = [logits.rows(top, min(top + step, height)) for top in range(0, height, step)]
    return torch.cat(chunks, dim=1)


@pytest.mark.parametrize("step", [1, 3, 100])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(56, 72), (49, 65), (7, 30), (15, 9), (4, 5), (1, 1), (7, 9)])
def test_resized_chunks_are_torch_s_interpolation(
    size: tuple[int, int], align_corners: bool, step: int
) -> None:
    expected = F.interpolate(LOGITS[None], size, mode="bilinear", align_corners=align_corners)[0]
    logits = ResampledLogits(LOGITS).resized(size, align_corners)
    torch.testing.assert_close(in_chunks(logits, step), expected, rtol=1e-5, atol=1e-5)


def test_gradients_flow_through_resized_logits() -> None:
    source = LOGITS.clone().requires_grad_()
    ResampledLogits(source).resized((14, 18), False).rows(0, 14).sum().backward()
    assert source.grad.sum().item() == pytest.approx(3 * 14 * 18, rel=1e-5)


def test_double_stays_double() -> None:
    logits = ResampledLogits(LOGITS.double()).resized((14, 18), False)
    assert logits.rows(2, 5).dtype == torch.float64


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_rows_are_shared_out_among_threads(threads: int) -> None:
    logits = ResampledLogits(LOGITS).resized((56, 72), False)
    expected = logits.rows(0, 56)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for step in (6, 7):
            torch.testing.assert_close(in_chunks(logits, step), expected)
    finally:
        torch.set_num_threads(before)


def test_chunks_are_rows_that_may_be_written_to() -> None:
    plain = ResampledLogits(LOGITS.clone())
    flipped, resized = plain.flipped("horizontal"), plain.resized((14, 18), False)
    for logits in (plain, flipped, resized, MeanProbabilities([plain, plain])):
        expected = logits.rows(2, 5).clone()
        memory = torch.full((3 * 3 * 18,), torch.nan)
        for _ in range(2):
            chunk = logits.rows(2, 5, memory)
            assert torch.equal(chunk, expected)
            chunk.zero_()
    assert torch.equal(plain.source, LOGITS)


def test_autocast_leaves_logits_as_exact_as_they_are() -> None:
    logits = ResampledLogits(LOGITS).resized((56, 72), False)
    expected = logits.rows(0, 56)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(logits.rows(0, 56), expected)


FLIPS = [("horizontal", (2,)), ("vertical", (1,)), ("diagonal", (1, 2))]


@pytest.mark.parametrize(("direction", "dims"), FLIPS)
def test_flipped_and_cropped_chunks(direction: str, dims: tuple[int, ...]) -> None:
    cropped = ResampledLogits(LOGITS).cropped((1, 2, 3, 0))
    assert cropped.size == (4, 6)
    expected = LOGITS[:, 3:, 1:7].flip(dims)
    assert torch.equal(in_chunks(cropped.flipped(direction), 3), expected)


def test_maps_on_maps() -> None:
    """Twice resized, as where an image was resized before the network saw it."""
    once = F.interpolate(LOGITS[None], (28, 36), mode="bilinear")
    twice = F.interpolate(once, (31, 23), mode="bilinear")[0]
    logits = ResampledLogits(LOGITS).resized((28, 36), False).resized((31, 23), False)
    torch.testing.assert_close(in_chunks(logits, 4), twice, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("with_gradient", [False, True])
@pytest.mark.parametrize(("direction", "dims"), FLIPS)
def test_resized_cropped_flipped_and_resized(
    direction: str, dims: tuple[int, ...], with_gradient: bool
) -> None:
    """As for a view that was padded and mirrored after it was resized."""
    once = F.interpolate(LOGITS[None], (28, 36), mode="bilinear")[:, :, 2:, 1:33]
    twice = F.interpolate(once.flip([dim + 1 for dim in dims]), (31, 23), mode="bilinear")[0]
    logits = ResampledLogits(LOGITS.clone().requires_grad_(with_gradient)).resized((28, 36), False)
    logits = logits.cropped((1, 3, 2, 0)).flipped(direction).resized((31, 23), False)
    torch.testing.assert_close(in_chunks(logits, 4), twice, rtol=1e-5, atol=1e-5)


def test_mean_of_probabilities() -> None:
    views = [ResampledLogits(LOGITS), ResampledLogits(LOGITS.flip(0))]
    expected = (LOGITS.softmax(0) + LOGITS.flip(0).softmax(0)) / 2
    torch.testing.assert_close(in_chunks(MeanProbabilities(views), 2), expected)
    one = SigmoidProbabilities(ResampledLogits(LOGITS[:1]))
    torch.testing.assert_close(MeanProbabilities([one, one]).rows(0, 7), LOGITS[:1].sigmoid())
