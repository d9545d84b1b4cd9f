import pytest
import torch

from mmseg_gc.errors import UserError
from mmseg_gc.models.layers import PyramidPooling, check_scales


@pytest.mark.parametrize("align_corners", [True, False])
def test_maps_come_back_at_the_inputs_size(align_corners: bool, recwarn) -> None:
    pooling = PyramidPooling((1, 2), 3, 5, align_corners=align_corners)
    maps = pooling(torch.randn(1, 3, 6, 7))
    assert [tuple(one.shape) for one in maps] == [(1, 5, 6, 7)] * 2
    assert list(pooling.state_dict()) == [
        f"{i}.1.conv.{n}" for i in (0, 1) for n in ("weight", "bias")
    ]
    assert not recwarn.list  # no size of theirs could be aligned


def test_a_length_that_is_asked_for() -> None:
    check_scales("X", "key", (1, 2), length=2)
    with pytest.raises(UserError, match=r"X cannot take key=\(1,\); give a tuple of 2 whole"):
        check_scales("X", "key", (1,), length=2)
