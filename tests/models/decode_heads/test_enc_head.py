import pytest
import torch

from mmseg_gc.errors import UserError
from mmseg_gc.models import EncHead

SMALL = dict(in_channels=[2, 4], in_index=[0, 1], channels=4, num_classes=3, dropout_ratio=0)


def test_it_learns_which_classes_are_there(labelled) -> None:
    head = EncHead(**SMALL, num_codes=2).eval()
    labels = torch.tensor([[[0, 0], [2, 255]], [[1, 1], [1, 1]]])
    assert head._present(labels.flatten(1)).tolist() == [[1, 0, 1], [0, 1, 0]]
    x = [torch.randn(2, 2, 2, 2), torch.randn(2, 4, 2, 2)]
    found = head.loss(x, [labelled(label) for label in labels])
    logits = head.se_layer(head._encoded(x)[0]).double()
    wanted = torch.tensor([[1.0, 0, 1], [0, 1, 0]]).double()
    p = logits.sigmoid()
    expected = -0.2 * (wanted * p.log() + (1 - wanted) * (1 - p).log()).mean()
    torch.testing.assert_close(found["loss_se"].double(), expected)
    assert set(found) == {"loss_ce", "loss_se", "acc_seg"}


def test_lateral_maps_are_brought_in() -> None:
    head = EncHead(**SMALL, add_lateral=True, use_se_loss=False).eval()
    x = [torch.randn(1, 2, 4, 4), torch.randn(1, 4, 2, 2)]
    changed = head([x[0] + 1, x[1]])
    assert changed.shape == (1, 3, 2, 2) and not torch.allclose(changed, head(x))
    assert not hasattr(head, "se_layer")


def test_bad_input() -> None:
    with pytest.raises(UserError, match="EncHead needs num_codes from 1 on, not 0"):
        EncHead(**SMALL, num_codes=0)
