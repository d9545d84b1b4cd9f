"""3x3 convolutions by Winograd's minimal filtering: under a quarter of the products, on CPUs."""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_gc.inference.scratch import scratch
from mmseg_gc.models.layers.packed_matrix import PackedMatrix

# Outputs of one tile: rows, columns. With 6x6 there would be fewer products still, at twice the
# rounding error in bfloat16.
TILE = (4, 6)
SPAN = (TILE[0] + 2, TILE[1] + 2)  # inputs that they see
PLACES = SPAN[0] * SPAN[1]
# Interpolation points, beside infinity, for so many outputs in a row. Of the sets whose transforms
# are exact in bfloat16, these have the smallest rounding error: together 2e-6 in float32, 0.03
# in bfloat16 of the output's norm, where a direct convolution has 0.002 in bfloat16.
POINTS = {
    2: (0.0, 1.0, -1.0),
    4: (0.0, 1.0, -1.0, 0.5, -2.0),
    6: (0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0),
}
# Bytes for each thread, but for `MOST_THREADS` at most.
WORKSPACE = 24 << 20  # of transformed input and of its products that are held at once
CACHED = 2 << 20  # that are gathered, or brought back, at once
MOST_THREADS = 3
# Where the point along both sides is 1: the place whose products count once in each output.
ONES = SPAN[1] + 1
MANY_CHANNELS = 512  # from here on a product of packed matrices is faster than a batch of them


@cache
def transforms(rows: int, columns: int) -> tuple[Tensor, Tensor, Tensor]:
    """Matrices for a tile of so many outputs, and inputs that they see, all flattened, in float64.

    For 4x6 outputs the input's (48, 48), the filter's (48, 9) and the output's (24, 48).

    Source: Toom-Cook interpolation; "Fast Algorithms for Convolutional Neural Networks",
    arXiv:1509.09308, section 4.
    """
    sides = zip(_along(rows), _along(columns), strict=True)
    return tuple(torch.kron(down, across) for down, across in sides)


def _along(tile: int) -> tuple[Tensor, Tensor, Tensor]:
    """`transforms` along one side."""
    points = POINTS[tile]
    whole = _from_roots(points)  # coefficients from the constant up
    rows_in, rows_filter = [], []
    for point in points:
        others = [other for other in points if other != point]
        value = torch.prod(torch.tensor([point - other for other in others], dtype=torch.float64))
        rows_in.append(F.pad(_from_roots(others), (0, 1)))
        rows_filter.append(torch.tensor([1.0, point, point**2], dtype=torch.float64) / value)
    along_in = torch.stack([*rows_in, whole])  # (tile + 2, tile + 2)
    infinity = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    along_filter = torch.stack([*rows_filter, infinity])  # (tile + 2, 3)
    along_out = torch.zeros(tile, tile + 2, dtype=torch.float64)
    for power in range(tile):
        along_out[power, :-1] = torch.tensor(points, dtype=torch.float64) ** power
    along_out[-1, -1] = 1
    return along_in, along_filter, along_out


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


class WinogradConv2d(nn.Module):
    """A trained 3x3 convolution of stride 1 and equal padding and dilation, for inference.

    (N, C, H, W) in, (N, K, H, W) out, channels last. Outputs are computed in tiles of 4x6, with 48
    multiplications a channel in place of 216; all of it is matrix products. A dilated convolution
    is a plain one on each of ``dilation`` squared sub-grids. The transformed filters take over five
    times the memory of the filters. ``relu`` and ``total`` are as in `FusedConv2d`.
    """

    def __init__(self, conv: nn.Conv2d, relu: bool = False) -> None:
        super().__init__()
        self.in_channels = conv.in_channels
        self.out_channels = conv.out_channels
        self.dilation = conv.dilation[0]
        self.relu = relu
        dtype = conv.weight.dtype
        to_domain, filters, from_domain = transforms(*TILE)
        weight = conv.weight.detach().double().flatten(2)  # (K, C, 9)
        weight = torch.einsum("pf,kcf->pck", filters, weight)  # (36, C, K)
        weight = weight.to(dtype).contiguous()
        self.packed = None
        if self.in_channels >= MANY_CHANNELS and PackedMatrix.available():
            self.packed = [PackedMatrix(one) for one in weight]
        else:
            self.register_buffer("weight", weight)
        self.register_buffer("to_domain", to_domain.to(dtype))
        self.register_buffer("from_domain", from_domain.to(dtype))
        self.bias = conv.bias

    def forward(self, x: Tensor, total: Tensor | None = None) -> Tensor:
        pictures = x.permute(0, 2, 3, 1)  # (N, H, W, C)
        if total is None:
            out = x.new_empty(*pictures.shape[:3], self.out_channels)
        else:
            out = total.permute(0, 2, 3, 1)
        for picture, target in zip(pictures, out, strict=True):
            self._convolve(picture, target, add=total is not None)
        return out.permute(0, 3, 1, 2)

    def _convolve(self, picture: Tensor, out: Tensor, add: bool) -> None:
        """Of one picture (H, W, C) into ``out`` (H, W, K)."""
        channels, k = self.in_channels, self.out_channels
        step, wide = (side * self.dilation for side in TILE)  # pixels that one tile spans
        rows = -(-picture.shape[0] // step)
        tiles = -(-picture.shape[1] // wide) * self.dilation**2  # in a row of them
        row_bytes = PLACES * tiles * (channels + k) * out.element_size()
        threads = min(torch.get_num_threads(), MOST_THREADS)
        for held in _parts(range(rows), WORKSPACE * threads // row_bytes):
            count = len(held) * tiles
            with scratch(PLACES * count * (channels + k), out) as pool:
                domain, products = pool.split([PLACES * count * channels, PLACES * count * k])
                domain, products = domain.view(PLACES, -1), products.view(PLACES, -1)
                pieces = _parts(held, CACHED * threads // row_bytes)
                for piece in pieces:
                    at = _span(piece, held.start, tiles * channels)
                    # By way of a small result, which is faster than to write far apart.
                    domain[:, at] = torch.mm(self.to_domain, self._gather(picture, piece))
                self._multiply(domain.view(-1, count, channels), products.view(-1, count, k))
                if self.bias is not None:
                    products[ONES].view(-1, k).add_(self.bias)
                for piece in pieces:
                    target = out[piece.start * step : piece.stop * step]
                    self._scatter(products[:, _span(piece, held.start, tiles * k)], target, add)

    def _multiply(self, domain: Tensor, products: Tensor) -> None:
        """Channels (36, tiles, C) by the filters into ``products`` (36, tiles, K)."""
        if self.packed is None:
            torch.bmm(domain, self.weight, out=products)
            return
        for one, matrix, target in zip(domain, self.packed, products, strict=True):
            target.copy_(matrix(one))

    def _gather(self, picture: Tensor, rows: range) -> Tensor:
        """Inputs (36, tiles * C) that the tiles of ``rows`` of them see."""
        d, (height, width, channels) = self.dilation, picture.shape
        step, wide = (side * d for side in TILE)
        columns = -(-width // wide)
        top, bottom = rows.start * step - d, rows.stop * step + d
        seen = picture[max(top, 0) : bottom]
        right, below = columns * wide + d - width, max(bottom - height, 0)
        seen = F.pad(seen, (0, 0, d, right, max(-top, 0), below))
        down, along = seen.stride()[:2]
        # Place in the tile, tile and sub-grid, downwards and to the right: overlapping views.
        seen = seen.as_strided(
            (*SPAN, len(rows), d, columns, d, channels),
            (d * down, d * along, step * down, down, wide * along, along, 1),
        )
        return seen.reshape(PLACES, -1)

    def _scatter(self, products: Tensor, out: Tensor, add: bool) -> None:
        """Write the outputs of whole rows of tiles (36, tiles * K) into ``out`` (h, W, K)."""
        d, k = self.dilation, self.out_channels
        height, width = out.shape[:2]
        step, wide = (side * d for side in TILE)
        columns = -(-width // wide)
        found = torch.mm(self.from_domain, products).view(*TILE, -1, d, columns, d, k)
        found = found.permute(2, 0, 3, 4, 1, 5, 6)  # (rows, 4, d, columns, 6, d, K)
        whole, along = height // step, width // wide  # tiles that lie in the picture as a whole
        if whole and along:
            target = out[: whole * step, : along * wide]
            target = target.unflatten(0, (whole, TILE[0], d)).unflatten(3, (along, TILE[1], d))
            self._put(found[:whole, :, :, :along], target, add)
        if along < columns:
            right = found[:, :, :, along:].reshape(-1, wide, k)
            target = out[:, along * wide :]
            self._put(right[:height, : target.shape[1]], target, add)
        if along and whole < len(found):
            below = found[whole:, :, :, :along].reshape(step, -1, k)
            target = out[whole * step :, : along * wide]
            self._put(below[: len(target)], target, add)

    def _put(self, found: Tensor, out: Tensor, add: bool) -> None:
        if add:
            found += out
        if self.relu:
            torch.clamp_min(found, 0, out=out)
        else:
            out.copy_(found)


def _parts(numbers: range, most: int) -> list[range]:
    """``numbers`` in the fewest ranges of at most ``most``, or one, and of nearly equal length."""
    count = -(-len(numbers) // max(1, most))
    size = -(-len(numbers) // count)
    return [numbers[i : i + size] for i in range(0, len(numbers), size)]


def _span(piece: range, start: int, size: int) -> slice:
    return slice((piece.start - start) * size, (piece.stop - start) * size)
