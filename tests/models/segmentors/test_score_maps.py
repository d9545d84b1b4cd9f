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


def test_mean_of_probabilities() -> None:
    views = [DenseScores(SCORES), DenseScores(SCORES.flip(0))]
    expected = (SCORES.softmax(0) + SCORES.flip(0).softmax(0)) / 2
    torch.testing.assert_close(in_bands(MeanProbabilities(views), 2), expected)
    one = SigmoidScores(DenseScores(SCORES[:1]))
    torch.testing.assert_close(MeanProbabilities([one, one]).rows(0, 7), SCORES[:1].sigmoid())
