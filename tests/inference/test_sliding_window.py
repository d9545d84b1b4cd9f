import pytest
import torch

from mmseg_gc.inference.label_maps import ResampledLogits
from mmseg_gc.inference.sliding_window import WindowLogits, window_starts

CPU = torch.device("cpu")


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


def windows_of(image: torch.Tensor, score, **options) -> WindowLogits:
    def run(places):
        return [ResampledLogits(score(image[:, rows, columns])) for rows, columns in places]

    return WindowLogits(len(image), tuple(image.shape[1:]), CPU, run=run, **options)


def test_every_pixel_is_the_mean_over_its_windows() -> None:
    values = iter([1.0, 2.0, 3.0, 4.0])
    windows = []

    def score(window: torch.Tensor) -> torch.Tensor:
        windows.append(window)
        return torch.full_like(window, next(values))

    image = torch.arange(12.0).view(1, 3, 4)
    logits = windows_of(image, score, crop=(2, 3), stride=(1, 1))
    # Rows 0-1 and 1-2, columns 0-2 and 1-3: windows 1, 2 above, and 3, 4 below.
    expected = [[1, 1.5, 1.5, 2], [2, 2.5, 2.5, 3], [3, 3.5, 3.5, 4]]
    assert logits.rows(0, 3)[0].tolist() == expected
    assert [w.flatten().tolist() for w in windows[1:3]] == [[1, 2, 3, 5, 6, 7], [4, 5, 6, 8, 9, 10]]


@pytest.mark.parametrize("upwards", [False, True])
def test_chunks_in_order_run_each_window_once_and_keep_few(upwards: bool) -> None:
    calls, kept = [], []

    def score(window: torch.Tensor) -> torch.Tensor:
        calls.append(window)
        return window * 2

    image = torch.randn(2, 40, 9)
    logits = windows_of(image, score, crop=(8, 4), stride=(6, 3), batch=2)
    chunks = [(top, top + 4) for top in range(0, 40, 4)]
    rows = {}
    for top, bottom in reversed(chunks) if upwards else chunks:
        rows[top] = logits.rows(top, bottom)
        kept.append(len(logits._kept))
    torch.testing.assert_close(torch.cat([rows[top] for top, _ in chunks], dim=1), image * 2)
    assert len(calls) == len(logits.tops) * len(logits.lefts)
    assert max(kept) == 2


@pytest.mark.parametrize(("batch", "sizes"), [(1, [1] * 6), (2, [2, 1] * 2), (9, [3] * 2)])
def test_windows_of_a_row_go_through_together(batch: int, sizes: list[int]) -> None:
    seen = []

    def score(places):
        seen.append(len(places))
        return [ResampledLogits(torch.zeros(1, 4, 4)) for _ in places]

    WindowLogits(1, (6, 10), CPU, crop=(4, 4), stride=(3, 3), run=score, batch=batch).rows(0, 6)
    assert seen == sizes


def test_a_image_smaller_than_the_crop_is_one_window() -> None:
    image = torch.randn(3, 5, 7)
    for crop, stride in (((8, 8), (4, 4)), ((5, 8), (2, 4))):
        logits = windows_of(image, torch.clone, crop=crop, stride=stride)
        assert torch.equal(logits.rows(0, 5), image)
