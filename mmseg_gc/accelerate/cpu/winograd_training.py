"""3x3 convolutions by Winograd's minimal filtering with gradients, for training on CPUs."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_gc.accelerate.cpu.winograd_transforms import transforms
from mmseg_gc.inference.scratch import scratch

# Below these, the transforms cost more than the multiplications that they save.
MIN_CHANNELS = 256
MIN_WEIGHTS = 512 * 512
MIN_PIXELS = 1024
# So many numbers of the transformed input, and of transformed kernels, are held at once.
WORKSPACE = 24 << 20
KERNELS = 8 << 20
CACHED = 4 << 20  # bytes that are gathered before they are transformed


class TrainedWinogradConv2d(nn.Conv2d):
    """`nn.Conv2d` of 3x3 kernels that keeps the image's size, on tiles of outputs.

    In training on a CPU; elsewhere it is its base class. Tiles of 4x4 in float32 and float64: the
    error, about 1e-6 of the norm, is that of summing in another order. Tiles of 2x2 in bfloat16,
    where it is 0.005 in place of 0.002.

    Source: "Fast Algorithms for Convolutional Neural Networks", arXiv:1509.09308.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if not self.training or not _pays(input):
            return super()._conv_forward(input, weight, bias)
        if torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            input, weight = input.to(dtype), weight.to(dtype)
        with torch.autocast("cpu", enabled=False):
            out = _Winograd.apply(input, weight)
        return out if bias is None else out + bias.to(out.dtype)[:, None, None]


def pays_in_training(conv: nn.Module) -> bool:
    """Whether `TrainedWinogradConv2d` can stand for ``conv`` and was measured to be faster."""
    return type(conv) is nn.Conv2d and _fits(conv)


def _fits(conv: nn.Conv2d) -> bool:
    return (
        conv.kernel_size == (3, 3)
        and conv.stride == conv.padding == conv.dilation == (1, 1)
        and conv.padding_mode == "zeros"
        and conv.groups == 1
        and min(conv.in_channels, conv.out_channels) >= MIN_CHANNELS
        and conv.in_channels * conv.out_channels >= MIN_WEIGHTS
    )


def _pays(input: Tensor) -> bool:
    pixels = input.shape[0] * input.shape[2] * input.shape[3]
    return input.device.type == "cpu" and pixels >= MIN_PIXELS


class _Winograd(torch.autograd.Function):
    """Convolve (N, C, H, W) with (K, C, 3, 3)."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _convolved(x, weight.permute(2, 3, 1, 0))

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            turned = weight.permute(2, 3, 0, 1).flip(0, 1)
            grad_x = _convolved(grad, turned)
        if ctx.needs_input_grad[1]:
            grad_weight = _weight_gradient(x, grad, weight)
        return grad_x, grad_weight


def _matrices(like: Tensor) -> tuple[int, list[Tensor]]:
    """The side of a tile, and the transforms of input, filter and output."""
    tile = 4 if like.dtype in (torch.float32, torch.float64) else 2
    return tile, [matrix.to(like.dtype) for matrix in transforms(tile, tile)]


def _convolved(x: Tensor, kernels: Tensor) -> Tensor:
    """(N, K, H, W) of images (N, C, H, W) and kernels (3, 3, C, K)."""
    tile, (_, filters, from_domain) = _matrices(x)
    count = kernels.shape[3]
    n, _, height, width = x.shape
    rows, cols = -(-height // tile), -(-width // tile)
    out = x.new_empty(n, rows * tile, cols * tile, count)
    blocks = _blocks(kernels.shape[2], count, filters)
    only = _transformed(kernels, filters) if len(blocks) == 1 else None
    for part, tiles in _transformed_tiles(x):
        target = out[part].view(-1, rows, tile, cols, tile, count)
        for block in blocks:
            transformed = _transformed(kernels[..., block], filters) if only is None else only
            products = torch.bmm(tiles, transformed)  # (36, tiles, K)
            pixels = from_domain @ products.flatten(1)
            pixels = pixels.view(tile, tile, -1, rows, cols, products.shape[2])
            target[..., block].copy_(pixels.permute(2, 3, 0, 4, 1, 5))
    return out[:, :height, :width].permute(0, 3, 1, 2)


def _transformed(kernels: Tensor, filters: Tensor) -> Tensor:
    """Kernels (3, 3, C, K) as (36, C, K)."""
    # Of the two orders of C and K, the one that lies in memory needs no shuffling of all numbers.
    swapped = kernels.stride(2) == 1
    if swapped:
        kernels = kernels.transpose(2, 3)
    shape = kernels.shape[2:]
    kernels = (filters @ kernels.reshape(9, -1)).view(-1, *shape)
    return kernels.transpose(1, 2) if swapped else kernels


def _blocks(channels: int, count: int, filters: Tensor) -> list[slice]:
    """Slices of ``count`` kernels, so many at a time as make ``KERNELS`` when transformed."""
    step = max(KERNELS // (filters.shape[0] * channels) // 16 * 16, 16)
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


def _weight_gradient(x: Tensor, grad: Tensor, weight: Tensor) -> Tensor:
    tile, (_, filters, from_domain) = _matrices(x)
    _, count, height, width = grad.shape
    rows, cols = -(-height // tile), -(-width // tile)
    channels_last = grad.permute(0, 2, 3, 1)
    extra = (0, 0, 0, cols * tile - width, 0, rows * tile - height)
    if any(extra):
        channels_last = F.pad(channels_last, extra)
    out = torch.empty_like(weight, memory_format=torch.channels_last)
    target = out.permute(2, 3, 0, 1)  # (3, 3, K, C)
    for part, tiles in _transformed_tiles(x):
        pixels = channels_last[part].reshape(-1, rows, tile, cols, tile, count)
        pixels = pixels.permute(2, 4, 0, 1, 3, 5).reshape(tile**2, -1)
        parts = (from_domain.T @ pixels).view(-1, tiles.shape[1], count)  # (36, tiles, K)
        for block in _blocks(x.shape[1], count, filters):
            product = torch.bmm(parts[..., block].transpose(1, 2), tiles)  # (36, K, C)
            gradient = (filters.T @ product.flatten(1)).view(3, 3, *product.shape[1:])
            if part.start == 0:
                target[:, :, block].copy_(gradient)
            else:
                target[:, :, block].add_(gradient)
    return out


def _transformed_tiles(x: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Some images of (N, C, H, W) at a time, and their transformed tiles (36, tiles, C).

    The tiles' memory is used again for the next ones.
    """
    tile, (to_domain, _, _) = _matrices(x)
    points = (tile + 2) ** 2
    n, channels, height, width = x.shape
    rows, cols = -(-height // tile), -(-width // tile)
    padding = (0, 0, 1, cols * tile - width + 1, 1, rows * tile - height + 1)
    row = points * cols * channels
    at_once = max(WORKSPACE // (rows * row), 1)
    rows_at_once = max(CACHED // (row * x.element_size()), 1)
    gathered = x.new_empty(row * min(rows_at_once, rows))
    with scratch(row * rows * min(at_once, n), x) as tiles:
        for start in range(0, n, at_once):
            part = slice(start, min(start + at_once, n))
            row_count = (part.stop - start) * rows
            out = tiles[: row * row_count].view(points, row_count, -1)
            for number, image in enumerate(x[part].permute(0, 2, 3, 1)):
                padded = F.pad(image, padding)
                down, right, _ = padded.stride()
                overlapping = padded.as_strided(
                    (tile + 2, tile + 2, rows, cols, channels),
                    (down, right, tile * down, tile * right, 1),
                )
                for top in range(0, rows, rows_at_once):
                    some = overlapping[:, :, top : top + rows_at_once]
                    copied = gathered[: some.numel()].view(some.shape)
                    copied.copy_(some)
                    first = number * rows + top
                    target = out[:, first : first + some.shape[2]].flatten(1)
                    torch.mm(to_domain, copied.view(points, -1), out=target)
            yield part, out.view(points, row_count * cols, channels)
