import numpy as np
import pytest
import torch
from torch import nn

from mmseg_gc.errors import UserError
from mmseg_gc.models import PSPHead


def test_the_input_beside_its_means() -> None:
    head = PSPHead(in_channels=1, channels=1, num_classes=2, pool_scales=(1, 2), dropout_ratio=0)
    for part in head.psp_modules:
        part[1] = nn.Identity()
    head.bottleneck = head.conv_seg = nn.Identity()
    x = torch.arange(16.0).view(1, 1, 4, 4)
    found = head([x])[0].numpy()
    blocks = np.array([[2.5, 4.5], [10.5, 12.5]])
    # Rows 1/4 and 3/4 of the way from one block's middle to the other's, and the ends.
    weights = np.array([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    np.testing.assert_allclose(found[0], x[0, 0])
    np.testing.assert_allclose(found[1], 7.5)
    np.testing.assert_allclose(found[2], weights @ blocks @ weights.T, rtol=1e-6)


@pytest.mark.parametrize("scales", [(), (0, 1), (1, 2.5), 3, "12"])
def test_scales_that_are_none(scales: object) -> None:
    with pytest.raises(UserError, match=r"PSPHead cannot take pool_scales=.* from 1 on"):
        PSPHead(in_channels=1, channels=1, num_classes=2, pool_scales=scales)
