import numpy as np
import pytest
import torch
from torch import nn

from mmseg_gc.models.decode_heads.dm_head import DynamicFilter


@pytest.mark.parametrize(("size", "before"), [(3, 1), (2, 1)])
def test_an_image_is_filtered_by_what_it_is(size: int, before: int) -> None:
    cfgs = dict(conv_cfg=None, norm_cfg=None, act_cfg=dict(type="ReLU"))
    block = DynamicFilter(size, False, 2, 2, **cfgs)
    block.input_redu_conv = block.filter_gen_conv = nn.Identity()
    x = torch.randn(2, 2, 6, 6)
    found = block(x).numpy()
    for image, filtered in zip(x.double().numpy(), found, strict=True):
        for channel, out in zip(image, filtered, strict=True):
            side = 6 // size
            kernel = channel.reshape(size, side, size, side).mean(axis=(1, 3))
            padded = np.pad(channel, (before, size - 1 - before))
            windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size))
            expected = np.maximum((windows * kernel).sum(axis=(2, 3)), 0)
            np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-6)
