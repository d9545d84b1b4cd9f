"""3x3 convolutions by Winograd's minimal filtering: a quarter of the multiplications on CPUs."""

import threading
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TILE = 4  # outputs of one tile along a side
SPAN = TILE + 2  # inputs that they see
# Interpolation points, beside infinity. Of the sets whose transforms are exact in bfloat16, this
# one has the smallest rounding error: 1e-6 in float32 and 0.017 in bfloat16 of the output's norm,
# where a direct convolution has 0.003 in bfloat16.
POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)
WORKSPACE = 48 << 20  # bytes of transformed input that are held at once


@cache
def transforms(tile: int = TILE) -> tuple[Tensor, Tensor, Tensor]:
    """Matrices for a tile of 4x4 outputs from 6x6 inputs, both flattened, in float64.

    The input's (36, 36), the filter's (36, 9) and the output's (16, 36); ``tile=2`` has 4x4 inputs.

    Source: Toom-Cook interpolation; "Fast Algorithms for Convolutional Neural Networks",
    arXiv:1509.09308, section 4.
    """
    points = POINTS[: tile + 1]
    whole = _from_roots(points)  # (6,) coefficients from the constant up
    rows_in, rows_filter = [], []
    for point in points:
        others = [other for other in points if other != point]
        value = torch.prod(torch.tensor([point - other for other in others], dtype=torch.float64))
        rows_in.append(F.pad(_from_roots(others), (0, 1)))
        rows_filter.append(torch.tensor([1.0, point, point**2], dtype=torch.float64) / value)
    along_in = torch.stack([*rows_in, whole])  # (6, 6)
    infinity = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    along_filter = torch.stack([*rows_filter, infinity])  # (6, 3)
    along_out = torch.zeros(tile, tile + 2, dtype=torch.float64)  # (4, 6)
    for power in range(tile):
        along_out[power, :-1] = torch.tensor(points, dtype=torch.float64) ** power
    along_out[-1, -1] = 1
    return tuple(torch.kron(side, side) for side in (along_in, along_filter, along_out))


def _from_roots(roots: tuple[float, ...] | list[float]) -> Tensor:
    """Coefficients, from the constant up, of the monic polynomial with these roots."""
    coefficients = torch.ones(1, dtype=torch.float64)
    for root in roots:
        shifted = F.pad(coefficients, (1, 0))
        coefficients = shifted - root * F.pad(coefficients, (0, 1))
    return coefficients


def suits_winograd(conv: nn.Module) -> bool:
    """Whether `WinogradConv2d` can stand for ``conv`` and was measured to be faster on CPUs."""
    return (
        isinstance(conv, nn.Conv2d)
        and type(conv).forward is nn.Conv2d.forward
        and conv.kernel_size == (3, 3)
        and conv.stride == (1, 1)
        and conv.dilation == conv.padding == (conv.dilation[0],) * 2
        and conv.groups == 1
        and conv.padding_mode == "zeros"
        and min(conv.in_channels, conv.out_channels) >= 128
    )


_buffers = threading.local()


def _scratch(size: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Two flat buffers of ``size`` numbers that all layers of a thread share.

    Fresh memory costs more than the arithmetic done in it here: the system clears every page.
    """
    wanted = size * like.element_size()
    if getattr(_buffers, "size", 0) < wanted:
        _buffers.pair = None  # before the larger ones, not beside them
        _buffers.pair = tuple(torch.empty(wanted, dtype=torch.uint8) for _ in range(2))
        _buffers.size = wanted
    return tuple(buffer[:wanted].view(like.dtype) for buffer in _buffers.pair)


class WinogradConv2d(nn.Module):
    """A trained 3x3 convolution of stride 1 and equal padding and dilation, for inference.

    (N, C, H, W) in, (N, K, H, W) out, channels last. Outputs are computed in tiles of 4x4, with 36
    multiplications a channel in place of 144; all of it is matrix products. A dilated convolution
    is a plain one on each of ``dilation`` squared sub-grids. The transformed filters take four
    times the memory of the filters.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.in_channels = conv.in_channels
        self.out_channels = conv.out_channels
        self.dilation = conv.dilation[0]
        dtype = conv.weight.dtype
        to_domain, filters, from_domain = transforms()
        weight = conv.weight.detach().double().flatten(2)  # (K, C, 9)
        weight = torch.einsum("pf,kcf->pck", filters, weight)  # (36, C, K)
        self.register_buffer("weight", weight.to(dtype).contiguous())
        self.register_buffer("to_domain", to_domain.to(dtype))
        self.register_buffer("from_domain", from_domain.to(dtype))
        self.bias = conv.bias

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        step = TILE * self.dilation  # pixels of the input that one row of tiles spans
        rows, columns = -(-height // step), -(-width // step)
        ring = self.dilation
        x = x.permute(0, 2, 3, 1)  # (N, H, W, C)
        right, below = columns * step - width + ring, rows * step - height + ring
        x = F.pad(x, (0, 0, ring, right, ring, below))
        out = x.new_empty(len(x), rows * step, columns * step, self.out_channels)
        chunk = self._rows_at_once(columns, x.element_size())
        for image, target in zip(x, out, strict=True):
            for top in range(0, rows, chunk):
                bottom = min(top + chunk, rows)
                self._tiles(
                    image[top * step : bottom * step + 2 * ring], target[top * step : bottom * step]
                )
        out = out[:, :height, :width].permute(0, 3, 1, 2)  # (N, K, H, W)
        return out.contiguous(memory_format=torch.channels_last)

    def _rows_at_once(self, columns: int, element_size: int) -> int:
        tiles = columns * self.dilation**2  # in one row of tiles
        row_bytes = SPAN**2 * tiles * self.in_channels * element_size
        return max(1, WORKSPACE // row_bytes)

    def _tiles(self, image: Tensor, out: Tensor) -> None:
        """Convolve whole rows of tiles: ``image`` (h + 2d, w + 2d, C) into ``out`` (h, w, K)."""
        d, channels = self.dilation, self.in_channels
        rows, columns = out.shape[0] // (TILE * d), out.shape[1] // (TILE * d)
        num_tiles = rows * d * columns * d
        down, right = image.stride(0), image.stride(1)
        # Place in the tile, tile and sub-grid, downwards and to the right: overlapping views.
        tiles = image.as_strided(
            (SPAN, SPAN, rows, d, columns, d, channels),
            (d * down, d * right, TILE * d * down, down, TILE * d * right, right, 1),
            image.storage_offset(),
        )
        points, k = SPAN**2, self.out_channels
        gathered, transformed = _scratch(points * num_tiles * max(channels, k), image)
        gathered = gathered[: points * num_tiles * channels]
        gathered.view(tiles.shape).copy_(tiles)
        transformed = transformed[: gathered.numel()].view(points, -1)
        torch.mm(self.to_domain, gathered.view(points, -1), out=transformed)
        products, outputs = _scratch(points * num_tiles * max(channels, k), image)
        products = products[: points * num_tiles * k].view(points, num_tiles, k)
        torch.bmm(transformed.view(points, num_tiles, channels), self.weight, out=products)
        outputs = outputs[: TILE**2 * num_tiles * k].view(TILE**2, -1)
        torch.mm(self.from_domain, products.view(points, -1), out=outputs)
        if self.bias is not None:
            outputs.view(-1, k).add_(self.bias)
        outputs = outputs.view(TILE, TILE, rows, d, columns, d, k)
        out = out.view(rows, TILE, d, columns, TILE, d, k)
        out.copy_(outputs.permute(2, 0, 3, 4, 1, 5, 6))
