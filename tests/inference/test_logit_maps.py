import pytest
import torch
import torch.nn.functional as F

from mmseg_gc.inference.logit_maps import (
    LogitMap,
    MeanProbabilities,
    ResampledLogits,
    SigmoidProbabilities,
)

LOGITS = torch.randn(3, 7, 9, generator=torch.Generator().manual_seed(0))


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
        for _ in range(2):
            with logits.chunk(2, 5) as chunk:
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
