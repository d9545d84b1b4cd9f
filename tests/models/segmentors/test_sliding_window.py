import pytest
import torch

from mmseg_gc.models.segmentors.sliding_window import slide, window_starts


@pytest.mark.parametrize(
    ("length", "crop", "stride", "starts"),
    [
        (1024, 769, 513, [0, 255]),  # The published 769x769 rows on Cityscapes.
        (2048, 769, 513, [0, 513, 1026, 1279]),
        (10, 4, 3, [0, 3, 6]),
        (11, 4, 3, [0, 3, 6, 7]),
        (4, 4, 3, [0]),
        (5, 4, 3, [0, 1]),
        (3, 4, 3, [0]),
    ],
)
def test_starts_by_hand(length: int, crop: int, stride: int, starts: list[int]) -> None:
    assert window_starts(length, crop, stride) == starts


def test_every_pixel_is_the_mean_over_its_windows() -> None:
    calls = iter([1.0, 2.0, 3.0, 4.0])
    windows = []

    def score(window: torch.Tensor) -> torch.Tensor:
        windows.append(window)
        return torch.full((1, 2, *window.shape[2:]), next(calls))

    picture = torch.arange(12.0).view(1, 1, 3, 4)
    out = slide(picture, (2, 3), (1, 1), 2, score)
    # Rows 0-1 and 1-2, columns 0-2 and 1-3: windows 1, 2 above, and 3, 4 below.
    assert [w.flatten().tolist() for w in windows[1:3]] == [[1, 2, 3, 5, 6, 7], [4, 5, 6, 8, 9, 10]]
    assert out[0, 0].tolist() == [[1, 1.5, 1.5, 2], [2, 2.5, 2.5, 3], [3, 3.5, 3.5, 4]]
    assert torch.equal(out[0, 0], out[0, 1])


def test_a_picture_smaller_than_the_crop_is_one_window() -> None:
    picture = torch.randn(2, 3, 5, 7)
    assert torch.equal(slide(picture, (8, 8), (4, 4), 3, lambda window: window), picture)
    assert torch.equal(slide(picture, (4, 8), (2, 4), 3, lambda window: window), picture)
