import numpy as np
import pytest
import torch

from mmseg_gc.models import OhemCrossEntropy


def expected_loss(p, ids, thresh, min_kept, weights) -> float:
    counts = ids != 255
    of_truth = np.take_along_axis(p, (ids * counts)[:, None], 1)[:, 0][counts]
    losses = -np.log(of_truth) * np.array(weights)[ids[counts]]
    lowest = np.sort(of_truth)
    hard = of_truth < max(thresh, lowest[min(min_kept, len(lowest) - 1)])
    return losses[hard].mean()


@pytest.mark.parametrize(("thres", "min_kept"), [(0.7, 1), (0.1, 10), (0.3, 3), (0.9, 1000)])
@pytest.mark.parametrize("weights", [None, [1, 2, 5]])
def test_equals_numpy(thres, min_kept, weights, logits, label, p, check_gradient) -> None:
    loss = OhemCrossEntropy(thres=thres, min_kept=min_kept, class_weight=weights, loss_weight=0.5)
    expected = expected_loss(p, label.numpy(), thres, min_kept, weights or [1] * 3)
    assert loss(logits, label).item() == pytest.approx(0.5 * expected, rel=1e-9)
    check_gradient(lambda x: loss(x, label))


def test_all_ignored(check_nothing_learnt) -> None:
    assert check_nothing_learnt(OhemCrossEntropy()) == 0


def test_no_hard_pixel_is_no_loss() -> None:
    logits = torch.tensor([[50.0, 0]]).view(1, 2, 1, 1).repeat(1, 1, 2, 2).requires_grad_()
    value = OhemCrossEntropy(min_kept=1)(logits, torch.zeros(1, 2, 2).long())
    value.backward()
    assert value == 0 and not logits.grad.any()


def test_the_head_s_ignored_label_doesn_t_count(logits, label) -> None:
    found = OhemCrossEntropy()(logits, label.where(label != 255, 7), ignore_index=7)
    assert found.item() == OhemCrossEntropy()(logits, label).item()
