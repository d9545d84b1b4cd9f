import pytest
from torch import nn

from mmseg_gc.errors import UserError
from mmseg_gc.models.backbones.res_blocks import BasicBlock, Bottleneck
from mmseg_gc.models.layers import ResLayer


def dilations(layer: ResLayer) -> list[int]:
    return [block.conv2.dilation[0] for block in layer]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (dict(dilation=4), [4, 4, 4]),
        (dict(dilation=4, contract_dilation=True), [2, 4, 4]),
        (dict(dilation=1, contract_dilation=True), [1, 1, 1]),
        (dict(dilation=4, multi_grid=(1, 2, 4), contract_dilation=True), [1, 2, 4]),
    ],
)
def test_dilation_of_each_block(options: dict, expected: list[int]) -> None:
    assert dilations(ResLayer(Bottleneck, 16, 4, 3, **options)) == expected


def test_only_the_first_block_strides_and_has_a_shortcut_convolution() -> None:
    layer = ResLayer(BasicBlock, 4, 8, 2, stride=2)
    assert [block.conv1.stride for block in layer] == [(2, 2), (1, 1)]
    assert [type(m) for m in layer[0].downsample] == [nn.Conv2d, nn.BatchNorm2d]
    assert layer[1].downsample is None


def test_no_shortcut_convolution_where_nothing_changes() -> None:
    assert ResLayer(BasicBlock, 8, 8, 1)[0].downsample is None


def test_avg_down_strides_by_pooling() -> None:
    pool, conv, _ = ResLayer(BasicBlock, 4, 8, 1, stride=2, avg_down=True)[0].downsample
    assert (pool.kernel_size, pool.stride, conv.stride) == (2, 2, (1, 1))
    assert pool.ceil_mode and not pool.count_include_pad


def test_multi_grid_of_wrong_length() -> None:
    with pytest.raises(UserError, match=r"multi_grid=\(1, 2\).*3 blocks"):
        ResLayer(Bottleneck, 16, 4, 3, multi_grid=(1, 2))
