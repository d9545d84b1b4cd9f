import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmseg_gc.inference.resampling import Crop, Flip, Resize, seen_by, weights_of

CPU = torch.device("cpu")
CHAINS = [
    (Resize(9, 72, False),),
    (Resize(9, 65, True),),
    (Resize(40, 7, False),),
    (Resize(7, 1, True), Resize(1, 5, False)),
    (Flip(9),),
    (Resize(9, 72, False), Crop(3, 70), Flip(67), Resize(67, 100, False)),
    (Resize(13, 97, True), Flip(97), Resize(97, 31, True)),
    (Crop(2, 9), Resize(7, 513, False), Resize(513, 1000, False)),
]


@pytest.mark.parametrize("steps", CHAINS)
def test_rows_of_both_kinds_are_those_of_the_steps_one_by_one(steps: tuple) -> None:
    """By products of matrices, as on a CPU, and by sums of few rows, as on a GPU."""
    first = steps[0]
    height = {Resize: "source", Flip: "length"}.get(type(first))
    height = getattr(first, height) if height else first.stop
    rows = torch.randn(height, 11, dtype=torch.float64)
    expected = rows
    for step in steps:
        expected = step.across(expected.T).T
    weights = weights_of(steps, CPU)
    for size in (1, 3, len(weights)):
        for start in range(0, len(weights), size):
            stop = min(start + size, len(weights))
            seen = seen_by(steps, range(start, stop))
            index = weights.index[:, start:stop]
            used = weights.weight[:, start:stop] != 0
            assert seen.start <= index[used].min() and index[used].max() < seen.stop
            assert len(seen) <= index.max() - index.min() + 1 + 2 * len(steps)
            part, some = weights.part(start, stop, seen), rows[seen.start : seen.stop]
            # Positions are float32's, as torch computes them for logits of that.
            close = dict(rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(part.applied(some), expected[start:stop], **close)
            out = torch.empty(stop - start, 11, dtype=torch.float64)
            torch.testing.assert_close(part.applied(some, out), expected[start:stop], **close)


@pytest.mark.parametrize("align_corners", [False, True])
def test_weights_are_those_of_interpolate(align_corners: bool) -> None:
    for source, target in ((64, 512), (86, 683), (683, 1334), (97, 769), (5, 3), (3, 3)):
        weights = weights_of((Resize(source, target, align_corners),), CPU)
        matrix = torch.zeros(source, target).scatter_add_(0, weights.index, weights.weight)
        unit = torch.eye(source)[None]
        expected = F.interpolate(unit, target, mode="linear", align_corners=align_corners)[0]
        # Bit for bit but for products that are added before they are rounded.
        torch.testing.assert_close(matrix, expected, rtol=0, atol=1e-4)


def test_weights_of_one_resampling_are_made_once_a_device() -> None:
    steps = (Resize(8, 64, False), Flip(64))
    assert weights_of(steps, CPU) is weights_of((Resize(8, 64, False), Flip(64)), CPU)
    assert weights_of(steps, torch.device("meta")).index.device.type == "meta"


def test_weights_made_in_inference_mode_serve_gradients_later() -> None:
    steps = (Resize(6, 23, False),)
    with torch.inference_mode():
        weights_of(steps, CPU)
    rows = torch.ones(6, 4, requires_grad=True)
    weights_of(steps, CPU).applied(rows).sum().backward()
    assert rows.grad.sum().item() == pytest.approx(23 * 4, rel=1e-5)


def test_seen_rows_match_for_every_ratio() -> None:
    rng = np.random.default_rng(0)
    for source, target in rng.integers(1, 3000, (200, 2)).tolist():
        for align_corners in (False, True):
            step = Resize(source, target, align_corners)
            index = weights_of((step,), CPU).index
            start = int(rng.integers(0, target))
            stop = int(rng.integers(start, target)) + 1
            seen = step.seen(range(start, stop))
            assert seen.start == index[:, start:stop].min()
            assert index[:, start:stop].max() <= seen.stop - 1
