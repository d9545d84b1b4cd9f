"""Dilated depthwise convolutions, each pixel seen with those that its kernel sees, as a grid.

oneDNN goes through a dilated depthwise convolution of maps that lie channels last several times
as slowly as through one without gaps. A convolution of dilation d looks at the pixels of one of
d x d grids at a time, and in this grid without gaps.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_gc.accelerate.cpu import operators

AT_ONCE = 256  # channels whose grids are in memory beside input and output


def suits_sub_grids(conv: nn.Conv2d) -> bool:
    """Whether `convolve` computes what ``conv`` does."""
    return (
        conv.groups == conv.in_channels == conv.out_channels
        and conv.kernel_size == (3, 3)
        and conv.stride == (1, 1)
        and conv.dilation[0] == conv.dilation[1] > 1
        and conv.padding == conv.dilation
    )


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, *, dilation: int, relu: bool
) -> Tensor:
    """``relu(conv2d(x, weight, bias, padding=dilation, dilation=dilation, groups=C))``, or no ReLU.

    (N, C, H, W) in and out, which is laid out channels last; ``weight`` is (C, 1, 3, 3).
    """
    n, channels, height, width = x.shape
    rows, columns = -(-height // dilation), -(-width // dilation)  # of the largest grid
    out = torch.empty_like(x, memory_format=torch.channels_last)
    for first in range(0, channels, AT_ONCE):
        part = slice(first, min(first + AT_ONCE, channels))
        # Zeros behind a grid's last row are what its padding would be.
        missing = (0, columns * dilation - width, 0, rows * dilation - height)
        grids = F.pad(x[:, part], missing).permute(0, 2, 3, 1)
        grids = grids.reshape(n, rows, dilation, columns, dilation, -1).permute(0, 2, 4, 1, 3, 5)
        grids = grids.reshape(n * dilation**2, rows, columns, -1).permute(0, 3, 1, 2)
        grids = operators.convolution(
            grids,
            weight[part],
            None if bias is None else bias[part],
            padding=(1, 1),
            stride=(1, 1),
            dilation=(1, 1),
            groups=grids.shape[1],
            relu=relu,
        )
        seen = grids.permute(0, 2, 3, 1).reshape(n, dilation, dilation, rows, columns, -1)
        seen = seen.permute(0, 3, 1, 4, 2, 5).reshape(n, rows * dilation, columns * dilation, -1)
        out[:, part] = seen[:, :height, :width].permute(0, 3, 1, 2)
    return out
