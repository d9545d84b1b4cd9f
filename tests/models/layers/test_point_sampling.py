import numpy as np
import torch

from mmseg_gc.models.layers.point_sampling import (
    points_to_learn,
    points_to_refine,
    sample_points,
    uncertainty,
)


def test_values_between_four_positions() -> None:
    x = torch.tensor([[0.0, 4.0], [8.0, 12.0]]).view(1, 1, 2, 2)
    # Position centres are at 1/4 and 3/4; of corners, at 0 and 1.
    points = torch.tensor([[[0.25, 0.25], [0.5, 0.25], [0.5, 0.5]]])
    assert sample_points(x, points).tolist() == [[[0, 2, 6]]]
    points = torch.tensor([[[0.0, 0.0], [0.5, 0.0], [1.0, 1.0]]])
    assert sample_points(x, points, align_corners=True).tolist() == [[[0, 2, 12]]]
    assert sample_points(x.half(), points, align_corners=True).dtype == torch.float32
    assert sample_points(x, points - 0.1, mode="nearest").tolist() == [[[0, 0, 12]]]


def test_the_least_certain_have_two_classes_alike() -> None:
    logits = torch.tensor([[3.0, 1.0, 0.5], [3.0, -1.0, 0.25], [0.0, 0.0, 0.0]])  # (K, P)
    assert uncertainty(logits.unsqueeze(0)).tolist() == [[0, -1, -0.25]]


def test_least_certain_places_and_their_centres() -> None:
    logits = torch.zeros(1, 2, 3, 4)
    logits[0, 0] = 1 + torch.arange(12.0).view(3, 4)
    logits[0, 0, 2, 1] = 0.5
    places, points = points_to_refine(logits, 2)
    assert places.tolist() == [[9, 0]]
    torch.testing.assert_close(points[0], torch.tensor([[1.5 / 4, 2.5 / 3], [0.5 / 4, 0.5 / 3]]))
    assert points_to_refine(logits, 100)[0].shape == (1, 12)


def test_points_to_learn_crowd_where_classes_meet() -> None:
    # Class 1 is as much above class 0 on the right as it is below on the left.
    logits = torch.zeros(2, 2, 8, 8)
    logits[:, 1] = torch.linspace(-7, 7, 8)
    torch.manual_seed(0)
    options = dict(oversample_ratio=3, importance_sample_ratio=0.75)
    points = points_to_learn(logits, 400, **options).numpy()
    assert points.shape == (2, 400, 2) and points.min() >= 0 and points.max() <= 1
    distance = np.abs(points[:, :300, 0] - 0.5)
    # The nearest 300 of 1200 fill a quarter of the width; at the edges logits fade, and more fit.
    assert distance.mean() < 0.09 and distance.max() < 0.25
    assert np.abs(points[:, 300:, 0] - 0.5).max() > 0.4
    assert points_to_learn(logits, 4, oversample_ratio=1, importance_sample_ratio=1).shape[1] == 4
