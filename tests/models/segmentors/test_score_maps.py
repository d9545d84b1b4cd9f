import pytest
import torch
import torch.nn.functional as F

from mmseg_gc.models.segmentors.score_maps import (
    CroppedScores,
    DenseScores,
    FlippedScores,
    MeanProbabilities,
    ResizedScores,
    ScoreMap,
    SigmoidScores,
)

SCORES = torch.randn(3, 7, 9, generator=torch.Generator().manual_seed(0))


def in_bands(scores: ScoreMap, step: int) -> torch.Tensor:
    height = scores.size[0]
    bands = [scores.rows(top, min(top + step, height)) for top in range(0, height, step)]
    return torch.cat(bands, dim=1)


@pytest.mark.parametrize("step", [1, 3, 100])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(56, 72), (49, 65), (7, 30), (15, 9), (4, 5), (1, 1), (7, 9)])
def test_resized_bands_are_torch_s_interpolation(
    size: tuple[int, int], align_corners: bool, step: int
) -> None:
    expected = F.interpolate(SCORES[None], size, mode="bilinear", align_corners=align_corners)[0]
    scores = ResizedScores(DenseScores(SCORES), size, align_corners)
    torch.testing.assert_close(in_bands(scores, step), expected, rtol=1e-5, atol=1e-5)


def test_gradients_flow_through_resized_scores() -> None:
    source = SCORES.clone().requires_grad_()
    ResizedScores(DenseScores(source), (14, 18), False).rows(0, 14).sum().backward()
    assert source.grad.sum().item() == pytest.approx(3 * 14 * 18, rel=1e-5)


def test_double_stays_double() -> None:
    scores = ResizedScores(DenseScores(SCORES.double()), (14, 18), False)
    assert scores.rows(2, 5).dtype == torch.float64


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_rows_are_shared_out_among_threads(threads: int) -> None:
    scores = ResizedScores(DenseScores(SCORES), (56, 72), False)
    expected = scores.rows(0, 56)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for step in (6, 7):
            torch.testing.assert_close(in_bands(scores, step), expected)
    finally:
        torch.set_num_threads(before)


def test_bands_are_rows_that_may_be_written_to() -> None:
    dense = DenseScores(SCORES.clone())
    for scores in (dense, ResizedScores(dense, (14, 18), False), MeanProbabilities([dense, dense])):
        expected = scores.rows(2, 5)
        for _ in range(2):
            with scores.band(2, 5) as band:
                assert torch.equal(band, expected)
                band.zero_()
    assert torch.equal(dense.scores, SCORES)


def test_autocast_leaves_scores_as_exact_as_they_are() -> None:
    scores = ResizedScores(DenseScores(SCORES), (56, 72), False)
    expected = scores.rows(0, 56)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(scores.rows(0, 56), expected)


@pytest.mark.parametrize("dims", [(2,), (1,), (1, 2)])
def test_flipped_and_cropped_bands(dims: tuple[int, ...]) -> None:
    cropped = CroppedScores(DenseScores(SCORES), (1, 2, 3, 0))
    assert cropped.size == (4, 6)
    expected = SCORES[:, 3:, 1:7].flip(dims)
    assert torch.equal(in_bands(FlippedScores(cropped, dims), 3), expected)


def test_maps_on_maps() -> None:
    """Twice resized, as where a picture was resized before the network saw it."""
    once = F.interpolate(SCORES[None], (28, 36), mode="bilinear")
    twice = F.interpolate(once, (31, 23), mode="bilinear")[0]
    scores = ResizedScores(ResizedScores(DenseScores(SCORES), (28, 36), False), (31, 23), False)
    torch.testing.assert_close(in_bands(scores, 4), twice, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("with_gradient", [False, True])
@pytest.mark.parametrize("dims", [(2,), (1,), (1, 2)])
def test_resized_cropped_flipped_and_resized(dims: tuple[int, ...], with_gradient: bool) -> None:
    """As for a view that was padded and mirrored after it was resized."""
    once = F.interpolate(SCORES[None], (28, 36), mode="bilinear")[:, :, 2:, 1:33]
    twice = F.interpolate(once.flip([dim + 1 for dim in dims]), (31, 23), mode="bilinear")[0]
    scores = DenseScores(SCORES.clone().requires_grad_(with_gradient))
    scores = CroppedScores(ResizedScores(scores, (28, 36), False), (1, 3, 2, 0))
    scores = ResizedScores(FlippedScores(scores, dims), (31, 23), False)
    torch.testing.assert_close(in_bands(scores, 4), twice, rtol=1e-5, atol=1e-5)


def test_mean_of_probabilities() -> None:
    views = [DenseScores(SCORES), DenseScores(SCORES.flip(0))]
    expected = (SCORES.softmax(0) + SCORES.flip(0).softmax(0)) / 2
    torch.testing.assert_close(in_bands(MeanProbabilities(views), 2), expected)
    one = SigmoidScores(DenseScores(SCORES[:1]))
    torch.testing.assert_close(MeanProbabilities([one, one]).rows(0, 7), SCORES[:1].sigmoid())
