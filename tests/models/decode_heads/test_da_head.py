import numpy as np
import torch

from mmseg_gc.models import DAHead
from mmseg_gc.models.decode_heads.da_head import ChannelAttention, PositionAttention


def softmax(x: np.ndarray) -> np.ndarray:
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


def test_positions_gather_from_alike_ones() -> None:
    block = PositionAttention(4, 2)
    x = torch.randn(1, 4, 2, 3)
    torch.testing.assert_close(block(x), x)  # what it starts with
    block.gamma.scale.data.fill_(0.5)
    rows = x[0].flatten(1).numpy().T.astype(float)
    query, key, value = (
        rows @ p.weight.detach()[:, :, 0, 0].numpy().T + p.bias.detach().numpy()
        for p in (block.query_project, block.key_project, block.value_project)
    )
    expected = 0.5 * (softmax(query @ key.T) @ value) + rows
    found = block(x)[0].flatten(1).detach().numpy().T
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_channels_gather_from_unlike_ones() -> None:
    block = ChannelAttention()
    block.gamma.scale.data.fill_(2.0)
    x = torch.randn(1, 4, 2, 3)
    rows = x[0].flatten(1).numpy().astype(float)
    energy = rows @ rows.T
    expected = 2 * softmax(energy.max(-1, keepdims=True) - energy) @ rows + rows
    np.testing.assert_allclose(block(x)[0].flatten(1).detach(), expected, rtol=1e-4, atol=1e-6)


def test_all_three_classifiers_learn(labelled) -> None:
    head = DAHead(in_channels=4, channels=4, num_classes=3, pam_channels=2, dropout_ratio=0)
    x, sample = [torch.randn(1, 4, 4, 4)], labelled(torch.randint(3, (8, 8)))
    losses = head.loss(x, [sample])
    assert set(losses) == {
        f"{p}.{n}" for p in ("pam_cam", "pam", "cam") for n in ("loss_ce", "acc_seg")
    }
    of_sum = head.loss_by_feat(head(x), [sample])["loss_ce"]
    torch.testing.assert_close(losses["pam_cam.loss_ce"], of_sum)
    sum(value for name, value in losses.items() if "loss" in name).backward()
    assert head.pam_conv_seg.weight.grad.any() and head.cam_conv_seg.weight.grad.any()
