import numpy as np
import torch

from mmseg_gc.models.layers import PyramidRows, SelfAttentionBlock, attend


def test_rows_are_means_weighted_by_likeness() -> None:
    query, key, value = torch.randn(2, 3, 4), torch.randn(2, 5, 4), torch.randn(2, 5, 6)
    weights = np.exp(0.7 * query.double().numpy() @ key.double().numpy().transpose(0, 2, 1))
    expected = weights / weights.sum(2, keepdims=True) @ value.double().numpy()
    np.testing.assert_allclose(attend(query, key, value, 0.7), expected, rtol=1e-5, atol=1e-6)


def test_a_bare_projection_starts_with_nothing() -> None:
    keys = dict(key_in_channels=4, query_in_channels=6, channels=2, out_channels=6)
    block = SelfAttentionBlock(**keys, value_out_norm=False)
    query, key = torch.randn(1, 6, 3, 3), torch.randn(1, 4, 2, 2)
    assert not block(query, key).any() and block(query, key).shape == (1, 6, 3, 3)
    block = SelfAttentionBlock(**keys, value_out_norm=True, key_query_num_convs=2)
    assert len(block.key_project) == 2 and not hasattr(block.value_project, "weight")


def test_scale_is_one_over_the_root_of_the_width() -> None:
    keys = dict(key_in_channels=4, query_in_channels=4, channels=16, out_channels=4)
    assert SelfAttentionBlock(**keys).scale == 0.25
    assert SelfAttentionBlock(**keys, matmul_norm=False).scale == 1


def test_a_pyramid_as_rows() -> None:
    x = torch.arange(16.0).view(1, 1, 4, 4)
    assert PyramidRows((1, 2))(x).tolist() == [[[7.5, 2.5, 4.5, 10.5, 12.5]]]
