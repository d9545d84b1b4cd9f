import numpy as np
import pytest
import torch

from mmseg_gc.errors import UserError
from mmseg_gc.models import Accuracy, accuracy

# Scores of 3 classes for 4 pixels (1, 3, 2, 2): best labels 0 1 / 2 0, second best 1 2 / 1 2.
SCORES = torch.tensor([[[[3.0, 0], [0, 5]], [[2, 4], [1, 0]], [[1, 3], [2, 4]]]])
TARGET = torch.tensor([[[0, 2], [2, 255]]])


def test_percent_of_all_pixels_and_of_those_not_ignored() -> None:
    assert accuracy(SCORES, TARGET).tolist() == pytest.approx([50.0])
    assert accuracy(SCORES, TARGET, ignore_index=255).tolist() == pytest.approx([200 / 3])


def test_topk() -> None:
    first, second = accuracy(SCORES, TARGET, topk=(1, 2), ignore_index=255)
    assert (first.item(), second.item()) == pytest.approx((200 / 3, 100.0))


def test_threshold_counts_unsure_pixels_as_wrong() -> None:
    # Right are the logits 3 and 2, and only the first exceeds 2.5.
    assert accuracy(SCORES, TARGET, thresh=2.5).item() == pytest.approx(25.0)


@pytest.mark.parametrize(("thresh", "least"), [(None, 0.5), (0.3, 0.3), (0.9, 0.9)])
def test_one_channel_is_held_to_the_threshold(thresh: float | None, least: float) -> None:
    draw = np.random.default_rng(0)
    logits = draw.normal(0.5, 2, (2, 1, 16, 16)).astype(np.float32)
    target = draw.choice([0, 1, 255], (2, 16, 16), p=[0.2, 0.7, 0.1])
    chosen = 1 / (1 + np.exp(-logits[:, 0])) > least
    counted = target != 255
    right = (chosen == target)[counted].mean() * 100
    tensors = torch.from_numpy(logits), torch.from_numpy(target)
    assert accuracy(*tensors, thresh=thresh, ignore_index=255).item() == pytest.approx(right)
    perfect = (torch.from_numpy(target).unsqueeze(1) == 1).float() * 10 - 5
    assert accuracy(perfect, tensors[1], ignore_index=255).item() == pytest.approx(100)


def test_more_classes_than_there_are() -> None:
    with pytest.raises(UserError, match="topk=5 is more than the 3 channels"):
        accuracy(SCORES, TARGET, topk=5)


def test_all_ignored_is_100_and_no_image_is_0() -> None:
    ignored = torch.full_like(TARGET, 255)
    assert accuracy(SCORES, ignored, ignore_index=255).item() == pytest.approx(100.0)
    assert accuracy(SCORES[:0], TARGET[:0]).item() == 0


def test_module() -> None:
    (result,) = Accuracy(ignore_index=255)(SCORES, TARGET)
    assert result.item() == pytest.approx(200 / 3)
