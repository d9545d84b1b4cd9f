import numpy as np
import torch

from mmseg_gc.models.layers import ContextEncoding, Encoding


def test_residuals_by_definition() -> None:
    layer = Encoding(channels=3, num_codes=2)
    x = torch.randn(1, 3, 2, 4)
    rows = x[0].flatten(1).double().numpy().T  # (positions, C)
    codes, scale = (p.detach().double().numpy() for p in (layer.codewords, layer.scale))
    residuals = rows[:, None] - codes  # (positions, K, C)
    shares = np.exp(scale * (residuals**2).sum(2))
    shares /= shares.sum(1, keepdims=True)
    expected = (shares[:, :, None] * residuals).sum(0)
    np.testing.assert_allclose(layer(x)[0].detach(), expected, rtol=1e-4, atol=1e-5)


def test_a_map_is_raised_by_its_code() -> None:
    layer = ContextEncoding(4, 2, conv_cfg=None, norm_cfg=dict(type="BN"), act_cfg=None).eval()
    x = torch.randn(2, 4, 3, 3)
    code, out = layer(x)
    assert code.shape == (2, 4)
    gains = torch.sigmoid(code @ layer.fc[0].weight.T + layer.fc[0].bias)
    torch.testing.assert_close(out, torch.relu(x * (1 + gains[:, :, None, None])))
