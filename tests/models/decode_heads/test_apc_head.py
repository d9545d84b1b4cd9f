import numpy as np
import torch
from torch import nn

from mmseg_gc.models.decode_heads.apc_head import AdaptiveContext


def test_what_a_position_gathers() -> None:
    block = AdaptiveContext(2, False, 3, 3, conv_cfg=None, norm_cfg=None, act_cfg=None)
    block.pooled_redu_conv = block.input_redu_conv = block.global_info = nn.Identity()
    block.residual_conv = nn.Identity()
    x = torch.randn(1, 3, 4, 6)
    image = x[0].double().numpy()
    pooled = image.reshape(3, 2, 2, 2, 3).mean(axis=(2, 4)).reshape(3, 4)
    rows = image.reshape(3, -1).T + image.mean(axis=(1, 2))
    weight = block.gla.weight.detach()[:, :, 0, 0].double().numpy()
    shares = 1 / (1 + np.exp(-(rows @ weight.T + block.gla.bias.detach().numpy())))
    expected = np.maximum((shares @ pooled.T).T + image.reshape(3, -1), 0)
    np.testing.assert_allclose(block(x)[0].flatten(1).detach(), expected, rtol=1e-4, atol=1e-6)
