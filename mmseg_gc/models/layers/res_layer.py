"""One stage of a residual network."""

from collections.abc import Sequence

from mmcv.cnn import build_conv_layer, build_norm_layer
from mmengine.model import Sequential
from torch import nn

from mmseg_gc.errors import UserError


class ResidualBlock(nn.Module):
    """What a stage is made of: a module that gives ``expansion`` times its ``planes``."""

    expansion: int


class ResLayer(Sequential):
    """A stage: ``num_blocks`` residual blocks, of which the first strides and changes the width.

    ``multi_grid`` gives each block its own dilation. ``contract_dilation`` halves that of the first
    block, whose input comes from a stage of smaller dilation. ``avg_down`` strides the shortcut by
    average pooling rather than by its convolution. ``block_cfg`` goes to every block.

    Source: "Rethinking Atrous Convolution" (arXiv:1706.05587) for multi_grid; ``mmseg``'s ResLayer.
    """

    def __init__(
        self,
        block: type[ResidualBlock],
        inplanes: int,
        planes: int,
        num_blocks: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        avg_down: bool = False,
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        multi_grid: Sequence[int] | None = None,
        contract_dilation: bool = False,
        block_cfg: dict | None = None,
    ) -> None:
        norm_cfg = norm_cfg or {"type": "BN"}
        outplanes = planes * block.expansion
        if multi_grid is None:
            first = dilation // 2 if contract_dilation and dilation > 1 else dilation
            dilations = [first] + [dilation] * (num_blocks - 1)
        elif len(multi_grid) != num_blocks:
            raise UserError(
                f"multi_grid={tuple(multi_grid)} must give one dilation to each of the last "
                f"stage's {num_blocks} blocks."
            )
        else:
            dilations = list(multi_grid)

        downsample = None
        if stride != 1 or inplanes != outplanes:
            pool = nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)
            conv_stride = 1 if avg_down else stride
            downsample = nn.Sequential(
                *([pool] if avg_down else []),
                build_conv_layer(
                    conv_cfg, inplanes, outplanes, kernel_size=1, stride=conv_stride, bias=False
                ),
                build_norm_layer(norm_cfg, outplanes)[1],
            )
        super().__init__(
            *(
                block(
                    inplanes if i == 0 else outplanes,
                    planes,
                    stride=stride if i == 0 else 1,
                    dilation=block_dilation,
                    downsample=downsample if i == 0 else None,
                    conv_cfg=conv_cfg,
                    norm_cfg=norm_cfg,
                    **(block_cfg or {}),
                )
                for i, block_dilation in enumerate(dilations)
            )
        )
