"""3x3 convolutions by Winograd's minimal filtering: under a quarter of the products, on CPUs."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmseg_gc.accelerate.cpu import operators
from mmseg_gc.accelerate.cpu.winograd_filters import ALIGNED, filters_size, in_parts
from mmseg_gc.accelerate.cpu.winograd_transforms import Tile, best_tile, cached, transforms
from mmseg_gc.accelerate.kernels import Kernels
from mmseg_gc.inference.parallel import HALVES, parts, share
from mmseg_gc.inference.scratch import scratch

MIN_CHANNELS = 128
# Work as it was measured, in float32, and in bfloat16 within a sixth, in products of an input and
# a filter of one channel at one place of a tile.
GATHERED = 140  # an input, brought into the domain
WRITTEN = 160  # an output, brought back
FILTERS = 100  # tiles that take as long as a filter's transform, and its way to the processor
CALL = 95_000_000
DIRECT = 0.89 * 9  # a pixel and a channel of a direct convolution

# Held at once of transformed input, or where that is of some channels only, and of filters.
INPUT_BYTES = 100 << 20
PART_BYTES = 50 << 20
FILTER_BYTES = 56 << 20  # 128 of 2048 channels in float32
MAX_FILTERS = {4: 256, 2: 512}  # and so many at most, by the bytes of a number
TILES_PER_CHANNEL = 2  # that are written as fast as a channel of a filter is transformed
MANY = 60 << 10  # numbers of input from which on single products beat a batch, in float32
MIN_WIDTH = 64  # channels that are gathered at once: what lies side by side is copied fast


def suits_winograd(conv: nn.Conv2d) -> bool:
    """Whether `convolve` can do what ``conv`` does, and was measured to be faster on CPUs."""
    return (
        conv.kernel_size == (3, 3)
        and conv.stride == (1, 1)
        and conv.dilation == conv.padding == (conv.dilation[0],) * 2
        and conv.groups == 1
        and conv.padding_mode == "zeros"
        and min(conv.in_channels, conv.out_channels) >= MIN_CHANNELS
    )


def pays(x: Tensor, dilation: int, filters: int) -> bool:
    """Whether it takes less time than a direct convolution of images (N, C, H, W).

    It doesn't where there are few tiles or few channels, nor on wide sub-grids of small maps, which
    are mostly rim.
    """
    count, channels, height, width = x.shape
    tile = best_tile((height, width), dilation, count, x.dtype)
    rows, columns = tile.counts((height, width), dilation)
    tiles = count * rows * columns * dilation**2
    products = tiles * (1 + GATHERED / filters + WRITTEN / channels) + FILTERS
    direct = DIRECT * count * height * width
    return tile.places * products + CALL / (channels * filters) < direct


def convolve(
    x: Tensor,
    kernels: list[Kernels],
    *,
    dilation: int,
    relu: bool,
    residual: Tensor | None = None,
    overwrite: bool = False,
) -> Tensor:
    """``relu(conv2d(x) + residual)`` with 3x3 ``kernels``, side by side, that keep the size.

    (N, C, H, W) in, (N, K, H, W) out, channels last, without gradients. Outputs are computed in
    tiles, such as 4x6 with 48 multiplications a channel in place of 216; all of it is matrix
    products.
    A dilated convolution is a plain one on each of ``dilation`` squared sub-grids. Filters are
    transformed some at a time at each call.
    ``overwrite`` writes the result over ``residual``.
    """
    images = x.permute(0, 2, 3, 1)  # (N, H, W, C)
    if residual is not None and overwrite:
        out = residual.permute(0, 2, 3, 1)
    else:
        out = x.new_empty(*images.shape[:3], sum(one.count for one in kernels))
    added = None if residual is None else residual.permute(0, 2, 3, 1)
    tile = best_tile(tuple(images.shape[1:3]), dilation, len(images), out.dtype)
    for channels in _channels_at_once(images, tile, dilation):
        is_last = channels.stop == images.shape[3]
        some = [one.of_channels(channels, with_bias=is_last) for one in kernels]
        seen = images[..., channels.start : channels.stop]
        _Images(seen, out, added, tile, dilation, relu and is_last).convolve(some)
        added = out
    return out.permute(0, 3, 1, 2)


def _channels_at_once(images: Tensor, tile: Tile, dilation: int) -> list[range]:
    """Parts of the channels of images (N, H, W, C), whose outputs are added up.

    All of a small image's tiles of some channels leave each filter to be transformed once; of a
    large one, outputs that are read and written again take longer than that.
    """
    count, height, width, channels = images.shape
    down, across = tile.counts((height, width), dilation)
    tiles = count * down * across * dilation**2
    of_channel = tile.places * tiles * images.element_size()
    again = -(-channels * of_channel // INPUT_BYTES) - 1  # that all filters are transformed
    most = max(PART_BYTES // of_channel // ALIGNED, 1) * ALIGNED
    by_channels = parts(range(channels), most, ALIGNED)
    row = channels * of_channel // (count * down)  # which is the least that is held at once
    if row > INPUT_BYTES or (TILES_PER_CHANNEL * tiles * (len(by_channels) - 1) < channels * again):
        return by_channels
    return [range(channels)]


class _Images:
    """Images (N, H, W, C), their outputs (N, H, W, K), and what is added to those.

    Rows of tiles are numbered through all images: filters are transformed once for all of them.
    """

    def __init__(
        self,
        images: Tensor,
        out: Tensor,
        residual: Tensor | None,
        tile: Tile,
        dilation: int,
        relu: bool,
    ) -> None:
        self.images, self.out, self.residual = images, out, residual
        self.tile, self.dilation, self.relu = tile, dilation, relu
        height, width = images.shape[1:3]
        self.to_domain, _, self.from_domain = (m.to(out) for m in transforms(*self.tile))
        self.step, self.wide = (side * dilation for side in self.tile)  # pixels that it spans
        # Of tiles in an image.
        self.rows, self.columns = self.tile.counts((height, width), dilation)
        self.tiles = self.columns * dilation**2  # in a row of them

    def convolve(self, kernels: list[Kernels]) -> None:
        channels, out, places = self.images.shape[3], self.out, self.tile.places
        size = out.element_size()
        rows = range(len(self.images) * self.rows)
        at_once = FILTER_BYTES // (places * channels * size) // ALIGNED * ALIGNED
        at_once = min(max(at_once, ALIGNED), MAX_FILTERS.get(size, MAX_FILTERS[4]))
        # A piece before and after its transform, and its pixels with their rim, for each thread;
        # or a row of outputs.
        width = len(self._widths(channels)[0])
        piece = max(cached(out.dtype) // size, places * self.tiles * width)
        each = max(3 * piece, self.tile.outputs * self.tiles * at_once)
        threads = HALVES if out.dtype is torch.float32 else 1
        for held in parts(rows, INPUT_BYTES // (places * self.tiles * channels * size)):
            count = len(held) * self.tiles
            of_filters = filters_size(self.tile, at_once, channels, out.dtype)
            shares = [places * count * channels, of_filters, threads * each]
            with scratch(sum(shares) + places * count * at_once, out) as pool:
                domain, filters, room, products = pool.split([*shares, places * count * at_once])
                domain = self._transformed(held, domain, room)  # (48, tiles, C)
                for first, some, bias in in_parts(kernels, self.tile, filters, at_once):
                    k = some.shape[1]
                    found = products[: places * count * k].view(places, count, k)
                    _multiply(domain, some, found)
                    if bias is not None:
                        found[self.tile.ones].add_(bias.to(out))
                    self._write(held, found, slice(first, first + k), room)

    def _transformed(self, held: range, domain: Tensor, room: Tensor) -> Tensor:
        """Inputs (48, tiles, C) of rows of tiles, transformed."""
        places, channels = self.tile.places, self.images.shape[3]
        domain = domain.view(places, -1, channels)

        def transform(pieces: Sequence[tuple[int, range, range]], room: Tensor) -> None:
            seen, found, padded = room.chunk(3)
            for number, piece, some in pieces:
                at = _span(piece, held.start - number * self.rows, self.tiles)
                shape = (places, (at.stop - at.start) * len(some))
                tiles, result = (part[: math.prod(shape)].view(shape) for part in (seen, found))
                own = slice(some.start, some.stop)
                self._gather(self.images[number][..., own], piece, padded, tiles)
                # By way of a small result, which is faster than to write far apart.
                torch.mm(self.to_domain, tiles, out=result)
                domain[:, at, own] = result.view(places, -1, len(some))

        share(transform, self._pieces(held, channels), self.out.dtype, room)
        return domain

    def _write(self, held: range, products: Tensor, filters: slice, room: Tensor) -> None:
        """Bring products (48, tiles, k) of rows of tiles back to pixels of some ``filters``."""
        k = products.shape[2]
        products = products.view(self.tile.places, -1)

        def write(pieces: Sequence[tuple[int, range]], room: Tensor) -> None:
            for number, piece in pieces:
                pixels = (number, slice(piece.start * self.step, piece.stop * self.step))
                residual = None if self.residual is None else self.residual[pixels][..., filters]
                at = _span(piece, held.start - number * self.rows, self.tiles * k)
                self._scatter(products[:, at], self.out[pixels][..., filters], residual, room)

        share(write, self._row_pieces(held, k), self.out.dtype, room)

    def _pieces(self, held: range, channels: int) -> list[tuple[int, range, range]]:
        """Numbers of images, rows of tiles in them, and channels, that are gathered at once."""
        widths = self._widths(channels)
        rows = self._row_pieces(held, channels)
        return [(number, piece, some) for number, piece in rows for some in widths]

    def _widths(self, channels: int) -> list[range]:
        """Channels that are gathered at once, of one row of tiles or several."""
        width = cached(self.out.dtype) // (self.tile.places * self.tiles * self.out.element_size())
        return parts(range(channels), max(width // ALIGNED * ALIGNED, MIN_WIDTH), ALIGNED)

    def _row_pieces(self, held: range, channels: int) -> list[tuple[int, range]]:
        """Numbers of images, and rows of tiles in them, that are worked on at once."""
        row_bytes = self.tile.places * self.tiles * channels * self.out.element_size()
        pieces = []
        for number in range(held.start // self.rows, -(-held.stop // self.rows)):
            first = number * self.rows
            own = range(max(held.start - first, 0), min(held.stop - first, self.rows))
            pieces += [(number, piece) for piece in parts(own, cached(self.out.dtype) // row_bytes)]
        return pieces

    def _gather(self, image: Tensor, rows: range, padded: Tensor, out: Tensor) -> None:
        """Inputs that the tiles of ``rows`` of them see in (H, W, C) into (48, tiles * C)."""
        d, (_, width, channels) = self.dilation, image.shape
        top, bottom = rows.start * self.step - d, rows.stop * self.step + d
        shape = (bottom - top, self.columns * self.wide + 2 * d, channels)
        seen = padded[: math.prod(shape)].view(shape)
        inside = image[max(top, 0) : bottom]
        first = max(-top, 0)
        last = first + len(inside)
        for rim in (seen[:first], seen[last:], seen[first:last, :d], seen[first:last, d + width :]):
            rim.zero_()
        seen[first:last, d : d + width] = inside
        down, along = seen.stride()[:2]
        # Place in the tile, tile and sub-grid, downwards and to the right: overlapping views.
        seen = seen.as_strided(
            (*self.tile.span, len(rows), d, self.columns, d, channels),
            (d * down, d * along, self.step * down, down, self.wide * along, along, 1),
            seen.storage_offset(),
        )
        out.view(seen.shape).copy_(seen)

    def _scatter(
        self, products: Tensor, out: Tensor, residual: Tensor | None, room: Tensor
    ) -> None:
        """Write the outputs of whole rows of tiles (48, tiles * k) into ``out`` (h, W, k)."""
        d, (height, width, k) = self.dilation, out.shape
        shape = (len(self.from_domain), products.shape[1])
        found = torch.mm(self.from_domain, products, out=room[: math.prod(shape)].view(shape))
        found = found.view(*self.tile, -1, d, self.columns, d, k)
        found = found.permute(2, 0, 3, 4, 1, 5, 6)  # (rows, 4, d, columns, 6, d, k)
        whole, along = height // self.step, width // self.wide  # tiles that lie inside as a whole
        if whole and along:
            inside = (slice(whole * self.step), slice(along * self.wide))

            def in_tiles(pixels: Tensor) -> Tensor:
                pixels = pixels[inside].unflatten(0, (whole, self.tile.rows, d))
                return pixels.unflatten(3, (along, self.tile.columns, d))

            other = None if residual is None else in_tiles(residual)
            self._put(found[:whole, :, :, :along], in_tiles(out), other)
        if along < self.columns:
            right = found[:, :, :, along:].reshape(-1, self.wide, k)
            self._put_at(right, out, residual, (slice(height), slice(along * self.wide, width)))
        if along and whole < len(found):
            below = found[whole:, :, :, :along].reshape(self.step, -1, k)
            at = (slice(whole * self.step, height), slice(along * self.wide))
            self._put_at(below, out, residual, at)

    def _put_at(
        self, found: Tensor, out: Tensor, residual: Tensor | None, at: tuple[slice, slice]
    ) -> None:
        target = out[at]
        found = found[: target.shape[0], : target.shape[1]]
        self._put(found, target, None if residual is None else residual[at])

    def _put(self, found: Tensor, out: Tensor, residual: Tensor | None) -> None:
        if residual is not None:
            found += residual
        if self.relu:
            torch.clamp_min(found, 0, out=out)
        else:
            out.copy_(found)


def _multiply(domain: Tensor, filters: Tensor, out: Tensor) -> None:
    """Inputs (48, tiles, C) by filters (48, k, C) into ``out`` (48, tiles, k)."""
    many = domain[0].numel() >= MANY
    one_by_one = many and domain.dtype is torch.float32 and operators.available()

    def multiply(places: Sequence[int], _: Tensor) -> None:
        at = slice(places[0], places[-1] + 1)
        if one_by_one:
            for one, matrix, target in zip(domain[at], filters[at], out[at], strict=True):
                target.copy_(operators.linear(one, matrix))
        else:
            torch.bmm(domain[at], filters[at].transpose(1, 2), out=out[at])

    share(multiply, range(len(out)), out.dtype, out)


def _span(piece: range, start: int, size: int) -> slice:
    return slice((piece.start - start) * size, (piece.stop - start) * size)
