"""Grad-CAM of networks whose gradients are known by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from mmseg_gc.visualization.class_activation import class_activation, heat


@pytest.fixture
def network() -> nn.Sequential:
    """1 x 1 convolutions: three channels after ReLU, then two classes, in the input's size."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Conv2d(3, 2, 1))
    with torch.no_grad():  # so that either class is somewhere
        network[2].weight[:, :, 0, 0] = torch.tensor([[1.0, -1.0, 0.5], [-1.0, 1.0, 0.5]])
        network[2].bias.zero_()
    return network


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("class_id", [0, 1])
def test_weights_are_the_mean_gradients(network, class_id, frozen):
    """The gradient of a class's logit for channel k is its weight w_k, in the class's pixels."""
    network.requires_grad_(not frozen)
    image = torch.randn(1, 3, 6, 8)
    with torch.no_grad():
        activation = network[:2](image)[0].numpy()
        labelled = network(image)[0].argmax(0).numpy() == class_id
    assert 0 < labelled.sum() < labelled.size
    weight = network[2].weight.detach()[class_id, :, 0, 0].numpy()
    speaks_for = np.maximum(np.tensordot(weight * labelled.mean(), activation, 1), 0)
    found = class_activation(network, network[1], image, class_id)
    assert found.max() > 0
    np.testing.assert_allclose(found, speaks_for / max(speaks_for.max(), 1e-12), rtol=1e-4)
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not network[1]._forward_hooks


def test_a_class_that_is_nowhere(network):
    with torch.no_grad():
        network[2].bias[1] = -1e6
    assert not class_activation(network, network[1], torch.randn(1, 3, 4, 4), 1).any()


def test_one_logit_stands_for_two_classes(network):
    """Of the class 1 it is the logit itself; of the class 0 its opposite."""
    network[2] = nn.Conv2d(3, 1, 1)
    image = torch.randn(1, 3, 6, 8)
    two = nn.Sequential(network[0], network[1], nn.Conv2d(3, 2, 1))
    with torch.no_grad():
        two[2].weight[:] = torch.cat([-network[2].weight, network[2].weight])
        two[2].bias[:] = torch.cat([-network[2].bias, network[2].bias])
    for class_id in (0, 1):
        alone, both = (class_activation(n, n[1], image, class_id) for n in (network, two))
        torch.testing.assert_close(alone, both)


def test_heat_goes_from_blue_to_red():
    drawn = heat(np.full((4, 6, 3), 100, np.uint8), np.array([[0.0, 1.0]]))
    assert drawn.shape == (4, 6, 3) and drawn.dtype == np.uint8
    assert drawn[0, 0].tolist() == [50, 50, 114]  # half of 100, and of JET's (0, 0, 128)
    assert drawn[0, -1].tolist() == [114, 50, 50]
