import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mmseg_gc.errors import UserError
from mmseg_gc.models import ISAHead


class Mean(nn.Module):
    """In place of attention: the mean over all positions of each map that it is shown."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3), keepdim=True).expand_as(x)


def test_far_apart_and_then_near() -> None:
    head = ISAHead(in_channels=1, channels=1, num_classes=2, isa_channels=1, down_factor=(2, 3))
    x = torch.randn(1, 1, 4, 6)
    image = x[0, 0].numpy()
    head.local_relation, head.global_relation = nn.Identity(), Mean()
    phases = np.array([[image[i::2, j::3].mean() for j in range(3)] for i in range(2)])
    np.testing.assert_allclose(head._interlaced(x)[0, 0], np.tile(phases, (2, 2)), rtol=1e-5)
    head.local_relation, head.global_relation = Mean(), nn.Identity()
    blocks = image.reshape(2, 2, 2, 3).mean(axis=(1, 3))
    expected = np.kron(blocks, np.ones((2, 3)))
    np.testing.assert_allclose(head._interlaced(x)[0, 0], expected, rtol=1e-5, atol=1e-7)


def test_sizes_that_no_block_divides() -> None:
    head = ISAHead(in_channels=1, channels=1, num_classes=2, isa_channels=1, down_factor=(4, 4))
    head.local_relation = head.global_relation = nn.Identity()
    x = torch.randn(2, 1, 5, 7)
    assert torch.equal(head._interlaced(x), x)


@pytest.mark.parametrize("factor", [(8,), (8, 0), 8])
def test_bad_input(factor: object) -> None:
    with pytest.raises(UserError, match=r"ISAHead cannot take down_factor=.* 2 whole numbers"):
        ISAHead(in_channels=1, channels=1, num_classes=2, isa_channels=1, down_factor=factor)
