import numpy as np
import pytest
import torch

from mmseg_gc.models.layers import DisentangledNonLocal2d, NonLocal2d


def softmax(x: np.ndarray) -> np.ndarray:
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


@pytest.mark.parametrize("disentangled", [False, True])
def test_by_definition(disentangled: bool) -> None:
    keys = dict(in_channels=4, reduction=2, use_scale=True, mode="embedded_gaussian")
    block = DisentangledNonLocal2d(temperature=0.5, **keys) if disentangled else NonLocal2d(**keys)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(1, 4, 2, 3)
    rows = x[0].flatten(1).double().numpy().T
    weights = {k: v.detach().double().numpy() for k, v in block.state_dict().items()}

    def conv(name: str, rows: np.ndarray) -> np.ndarray:
        return rows @ weights[f"{name}.weight"][:, :, 0, 0].T + weights[f"{name}.bias"]

    theta, phi, g = (conv(f"{name}.conv", rows) for name in ("theta", "phi", "g"))
    likeness = theta @ phi.T / 2**0.5
    unary = 0
    if disentangled:
        likeness = (theta - theta.mean(0)) @ (phi - phi.mean(0)).T / 2**0.5 / 0.5
        unary = softmax(conv("conv_mask", rows).T) @ g
    expected = rows + conv("conv_out.conv", softmax(likeness) @ g + unary)
    found = block(x)[0].flatten(1).detach().numpy().T
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_it_starts_as_the_identity() -> None:
    x = torch.randn(1, 4, 3, 3)
    for mode in ("embedded_gaussian", "dot_product"):
        assert torch.equal(NonLocal2d(in_channels=4, mode=mode)(x), x)


@pytest.mark.parametrize("mode", ["gaussian", "dot_product", "concatenation"])
def test_the_disentangled_block_compares_in_every_mode(mode: str) -> None:
    block = DisentangledNonLocal2d(temperature=0.3, in_channels=4, reduction=2, mode=mode)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(1, 4, 2, 3)
    kept = x.clone()
    rows = x[0].flatten(1).double().numpy().T
    weights = {k: v.detach().double().numpy() for k, v in block.state_dict().items()}

    def conv(name: str, rows: np.ndarray) -> np.ndarray:
        return rows @ weights[f"{name}.weight"][:, :, 0, 0].T + weights[f"{name}.bias"]

    parts = (
        (rows, rows) if mode == "gaussian" else (conv("theta.conv", rows), conv("phi.conv", rows))
    )
    theta, phi = (part - part.mean(0) for part in parts)
    if mode == "gaussian":
        shares = softmax(theta @ phi.T)
    elif mode == "dot_product":
        shares = theta @ phi.T / 6
    else:
        of_theta, of_phi = weights["concat_project.conv.weight"].reshape(2, 2)
        shares = np.maximum((theta @ of_theta)[:, None] + (phi @ of_phi)[None], 0) / 6
    g = conv("g.conv", rows)
    gathered = shares @ g + softmax(conv("conv_mask", rows).T) @ g
    found = block(x)[0].flatten(1).detach().numpy().T
    np.testing.assert_allclose(found, rows + conv("conv_out.conv", gathered), rtol=1e-4, atol=1e-5)
    assert torch.equal(x, kept)
    block(x).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in block.parameters())
