"""3x3 convolutions with 4 multiplications in the place of 9, for training on CPUs."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

# Below these, the transforms cost more than the multiplications that they save.
LEAST_CHANNELS = 256
LEAST_WEIGHTS = 512 * 512
LEAST_PIXELS = 1024
BLOCK = 16
# Turning a kernel by 180 degrees swaps the first and last of the four transformed rows and columns.
TURNED = [3 - i if i in (0, 3) else i for i in range(4)]
TURNED = [4 * i + j for i in TURNED for j in TURNED]


class WinogradConv2d(nn.Conv2d):
    """`nn.Conv2d` of 3x3 kernels that keeps the picture's size, by Winograd's F(2x2, 3x3).

    In training on a CPU; elsewhere it is its base class. In float32 and float64 the result is nearer
    to the exact sums than oneDNN's, which has more numbers to add; in bfloat16 its error is four
    times the rounding of the result.

    Source: Lavin and Gray, arXiv:1509.09308.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if not self.training or not _pays(input):
            return super()._conv_forward(input, weight, bias)
        if torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            input, weight = input.to(dtype), weight.to(dtype)
        out = _Winograd.apply(input, weight)
        return out if bias is None else out + bias.to(out.dtype)[:, None, None]


def use_winograd(model: nn.Module) -> int:
    """Make the convolutions for which it pays `WinogradConv2d`, and return how many they are.

    Parameters and state-dict keys stay. Call it for a model that trains on a CPU.
    """
    count = 0
    for module in model.modules():
        if type(module) is nn.Conv2d and _fits(module):
            module.__class__ = WinogradConv2d
            count += 1
    return count


def _fits(conv: nn.Conv2d) -> bool:
    return (
        conv.kernel_size == (3, 3)
        and conv.stride == conv.padding == conv.dilation == (1, 1)
        and conv.padding_mode == "zeros"
        and conv.groups == 1
        and min(conv.in_channels, conv.out_channels) >= LEAST_CHANNELS
        and conv.in_channels * conv.out_channels >= LEAST_WEIGHTS
    )


def _pays(input: Tensor) -> bool:
    pixels = input.shape[2] * input.shape[3]
    return input.device.type == "cpu" and input.shape[0] * pixels >= LEAST_PIXELS


class _Winograd(torch.autograd.Function):
    """Convolve (N, C, H, W) with (D, C, 3, 3); pictures one by one, which bounds the memory."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _convolved(x, _kernels(weight))

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            kernels = _kernels(weight)[TURNED].transpose(1, 2)  # (16, C, D)
            grad_x = _convolved(grad, kernels)
        if ctx.needs_input_grad[1]:
            grad_weight = _weight_gradient(x, grad, weight)
        return grad_x, grad_weight


def _convolved(x: Tensor, kernels: Tensor) -> Tensor:
    """(N, D, H, W) of pictures (N, C, H, W) and transformed kernels (16, D, C)."""
    n, _, height, width = x.shape
    out = x.new_empty(n, height, width, kernels.shape[1])
    for picture, tiles in zip(out, _tiles(x), strict=True):
        products = torch.bmm(tiles.flatten(1, 2), kernels.transpose(1, 2))
        _untile(products.view(4, 4, *tiles.shape[1:3], -1), picture)
    return out.permute(0, 3, 1, 2)


def _weight_gradient(x: Tensor, grad: Tensor, weight: Tensor) -> Tensor:
    total = None
    for tiles, parts in zip(_tiles(x), _gradient_tiles(grad), strict=True):
        product = torch.bmm(parts.flatten(1, 2).transpose(1, 2), tiles.flatten(1, 2))
        total = product if total is None else total.add_(product)
    grid = total.view(4, 4, *total.shape[1:])
    rows = _three_of_four(grid)
    out = torch.empty_like(weight, memory_format=torch.channels_last)
    out.permute(2, 3, 0, 1).copy_(_three_of_four(rows.transpose(0, 1)).transpose(0, 1))
    return out


def _kernels(weight: Tensor) -> Tensor:
    """Kernels (D, C, 3, 3) transformed: (16, D, C)."""
    count, channels = weight.shape[:2]
    out = weight.new_empty(4, 4, count, channels)
    rows = weight.new_empty(4, 3, BLOCK, channels)
    for start in range(0, count, BLOCK):  # so few that they stay in the processor's cache
        g = weight[start : start + BLOCK].permute(2, 3, 0, 1)
        part = rows[:, :, : g.shape[2]]
        _four_of_three(g, part)
        _four_of_three(part.transpose(0, 1), out[:, :, start : start + BLOCK].transpose(0, 1))
    return out.flatten(0, 1)


def _four_of_three(g: Tensor, out: Tensor) -> None:
    out[0], out[3] = g[0], g[2]
    torch.add(g[0], g[2], out=out[1])
    torch.sub(out[1], g[1], out=out[2]).div_(2)
    out[1].add_(g[1]).div_(2)


def _three_of_four(u: Tensor) -> Tensor:
    outer = (u[1] + u[2]) / 2
    return torch.stack([u[0] + outer, (u[1] - u[2]) / 2, outer + u[3]])


def _tiles(x: Tensor) -> Iterator[Tensor]:
    """The transformed 4x4 tiles, two pixels apart, of each picture: (16, h, w, C)."""
    _, channels, height, width = x.shape
    h, w = (height + 1) // 2, (width + 1) // 2
    padded = x.new_zeros(2 * h + 2, 2 * w + 2, channels)
    rows = x.new_empty(h, 2 * w + 2, channels)
    for picture in x.permute(0, 2, 3, 1):
        padded[1 : height + 1, 1 : width + 1] = picture
        out = x.new_empty(4, 4, h, w, channels)
        r = [padded[i : i + 2 * h : 2] for i in range(4)]
        for i in range(4):
            _combined(i, r, rows)
            c = [rows[:, j : j + 2 * w : 2] for j in range(4)]
            for j in range(4):
                _combined(j, c, out[i, j])
        yield out.flatten(0, 1)


def _combined(index: int, d: list[Tensor], out: Tensor) -> None:
    if index == 0:
        torch.sub(d[0], d[2], out=out)
    elif index == 1:
        torch.add(d[1], d[2], out=out)
    elif index == 2:
        torch.sub(d[2], d[1], out=out)
    else:
        torch.sub(d[1], d[3], out=out)


def _untile(products: Tensor, picture: Tensor) -> None:
    """Write (4, 4, h, w, D) products as the picture (H, W, D)."""
    for i, row in enumerate(_two_of_four(products)):
        for j, cell in enumerate(_two_of_four(row)):
            target = picture[i::2, j::2]
            target.copy_(cell[: target.shape[0], : target.shape[1]])


def _two_of_four(m: Tensor) -> tuple[Tensor, Tensor]:
    return (m[0] + m[1]).add_(m[2]), (m[1] - m[2]).sub_(m[3])


def _gradient_tiles(grad: Tensor) -> Iterator[Tensor]:
    """The transformed 2x2 tiles of each gradient (N, D, H, W): (16, h, w, D)."""
    _, channels, height, width = grad.shape
    h, w = (height + 1) // 2, (width + 1) // 2
    padded = grad.new_zeros(2 * h, 2 * w, channels)
    for picture in grad.permute(0, 2, 3, 1):
        if picture.shape != padded.shape:
            padded[:height, :width] = picture
            picture = padded
        top, bottom = picture[0::2], picture[1::2]
        out = grad.new_empty(4, 4, h, w, channels)
        for i, row in enumerate((top, top + bottom, top - bottom, -bottom)):
            left, right = row[:, 0::2], row[:, 1::2]
            out[i, 0] = left
            torch.add(left, right, out=out[i, 1])
            torch.sub(left, right, out=out[i, 2])
            torch.neg(right, out=out[i, 3])
        yield out.flatten(0, 1)
