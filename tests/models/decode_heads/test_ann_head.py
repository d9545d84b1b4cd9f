import numpy as np
import pytest
import torch

from mmseg_gc.errors import UserError
from mmseg_gc.models import ANNHead
from mmseg_gc.models.decode_heads.ann_head import PyramidAttention


def test_a_map_gathers_from_a_pyramid_of_the_other() -> None:
    """Of a pyramid of one place there is the mean of the values alone, whatever the query."""
    block = PyramidAttention(
        3, 2, 4, 2, query_scales=(1,), key_pool_scales=(1,), share_key_query=False, activates=False
    )
    torch.nn.init.normal_(block.stages[0].out_project.weight)
    query, key = torch.randn(1, 2, 2, 2), torch.randn(1, 3, 4, 4)
    w = {name: p.detach().numpy()[..., 0, 0] for name, p in block.named_parameters() if p.dim() > 1}
    b = {name: p.detach().numpy() for name, p in block.named_parameters() if p.dim() == 1}
    stage = "stages.0."
    value = w[f"{stage}value_project.weight"] @ key[0].mean(dim=(1, 2)).numpy()
    value = value + b[f"{stage}value_project.bias"]
    gathered = w[f"{stage}out_project.weight"] @ value + b[f"{stage}out_project.bias"]
    both = np.concatenate([np.repeat(gathered[:, None], 4, axis=1), query[0].flatten(1)])
    expected = w["bottleneck.conv.weight"] @ both + b["bottleneck.conv.bias"][:, None]
    np.testing.assert_allclose(
        block(query, key)[0].flatten(1).detach(), expected, rtol=1e-4, atol=1e-6
    )


def test_key_and_query_share_a_projection_where_they_should() -> None:
    head = ANNHead(
        in_channels=[4, 8], in_index=[0, 1], channels=6, num_classes=3, project_channels=2
    )
    assert head.context.stages[0].key_project is head.context.stages[0].query_project
    assert head.fusion.stages[0].key_project is not head.fusion.stages[0].query_project


def test_it_takes_two_maps() -> None:
    with pytest.raises(UserError, match=r"ANNHead cannot take in_channels=\[1, 2, 3\]"):
        ANNHead(
            in_channels=[1, 2, 3], in_index=[0, 1, 2], channels=1, num_classes=2, project_channels=1
        )
