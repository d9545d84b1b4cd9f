"""Polygons and run lengths as masks, and several of them as one label map."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmseg_gc.errors import UserError

IGNORED = 255
MAX_PIXELS = 1 << 28  # of an image whose size is only said
Box = tuple[slice, slice]


@dataclass(frozen=True)
class Shape:
    """What an annotator drew of one class.

    ``rings`` are polygons (n, 2) of x and y in pixels, 0 at the image's left and upper edge. A
    ``mask`` (h, w), bool, lies with its upper left pixel at ``corner`` (y, x) instead.
    """

    label: str
    rings: tuple[np.ndarray, ...] = ()
    mask: np.ndarray | None = None
    corner: tuple[int, int] = (0, 0)
    is_crowd: bool = False


def fill(rings: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """The pixels (h, w), bool, whose centre an odd number of ``rings`` (n, 2) encloses.

    So a ring inside of another is a hole, and a seam that is drawn there and back encloses nothing.
    """
    height, width = shape
    crossings = np.zeros((height, width + 1), np.uint8)
    for ring in rings:
        x0, y0 = ring.T
        x1, y1 = np.roll(ring, -1, axis=0).T
        # Rows whose centre, at y + 0.5, lies between the ends of an edge: the upper one belongs.
        first = np.clip(np.ceil(np.minimum(y0, y1) - 0.5), 0, height).astype(int)
        last = np.clip(np.ceil(np.maximum(y0, y1) - 0.5), 0, height).astype(int)
        counts = last - first
        edge = np.arange(len(ring)).repeat(counts)
        row = np.arange(counts.sum()) - (np.cumsum(counts) - counts - first).repeat(counts)
        share = (row + 0.5 - y0[edge]) / (y1 - y0)[edge]
        x = x0[edge] + share * (x1 - x0)[edge]
        column = np.clip(np.ceil(x - 0.5), 0, width).astype(int)
        np.add.at(crossings, (row, column), 1)
    return (np.cumsum(crossings, axis=1, dtype=np.uint8)[:, :width] & 1).astype(bool)


def runs_to_mask(counts: Sequence[int], shape: tuple[int, int]) -> np.ndarray:
    """The mask (h, w), bool, of run lengths down the columns, which begin with one of False.

    Raises:
        UserError: they don't add up to h * w.
    """
    height, width = shape
    runs = np.asarray(counts)
    size = height * width
    fits = runs.ndim == 1 and runs.dtype.kind == "i" and size < MAX_PIXELS
    # Each by itself first: huge ones could add up to it by overflow.
    if not (fits and all(0 <= run <= size for run in runs.tolist()) and runs.sum() == size):
        raise UserError(f"has run lengths that aren't those of {width}x{height} pixels")
    return (np.arange(len(runs)) % 2).astype(bool).repeat(runs).reshape(width, height).T


def unpack_runs(text: str) -> list[int]:
    """The run lengths in COCO's text of them.

    Five bits a character, the lowest first; from the fourth on they are differences to the number
    before the last. Source: ``rleFrString`` of pycocotools.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    return counts


def polygon(points: object) -> np.ndarray:
    """A ring (n, 2) of ``points``, pairs or a flat list of x and y.

    Raises:
        UserError: they are none, or infinite.
    """
    try:
        ring = np.asarray(points, np.float64).reshape(-1, 2)
    except (TypeError, ValueError):
        ring = np.empty((0, 2))
    if len(ring) < 3 or not np.isfinite(ring).all() or (np.abs(ring) > 1e6).any():
        raise UserError(f"has a polygon of {len(ring)} points, or none with finite x and y")
    return ring


def circle(x: float, y: float, radius_x: float, radius_y: float) -> np.ndarray:
    """An ellipse as a ring of 360 points."""
    angle = np.linspace(0, 2 * math.pi, 360, endpoint=False)
    return polygon(np.stack([x + radius_x * np.cos(angle), y + radius_y * np.sin(angle)], 1))


def rectangle(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    """The ring of a rectangle, by two corners."""
    return polygon([x0, y0, x1, y0, x1, y1, x0, y1])


def draw(
    shapes: Sequence[Shape],
    ids: Mapping[str, int],
    shape: tuple[int, int],
    *,
    unlabelled: int,
    by_area: bool,
    holes: bool,
) -> np.ndarray:
    """The label map (h, w), uint8, of ``shapes``; those whose class has no id are left out.

    Of two that overlap, the smaller one is on top, or without ``by_area`` the later one. Crowds
    lie under everything. Rings of one shape are united; with ``holes``, one inside of another is a
    hole.
    """
    label = np.full(shape, unlabelled, np.uint8)
    parts = [(*_pixels(one, shape, holes), one) for one in shapes if one.label in ids]
    if by_area:
        parts.sort(key=lambda part: -int(part[1].sum()))
    parts.sort(key=lambda part: not part[2].is_crowd)
    for box, mask, one in parts:
        label[box][mask] = ids[one.label]
    return label


def _pixels(one: Shape, shape: tuple[int, int], holes: bool) -> tuple[Box, np.ndarray]:
    """A part of the image, and the pixels in there that belong to a shape."""
    if one.mask is not None:
        top, left = one.corner
        cut = one.mask[max(-top, 0) :, max(-left, 0) :]
        top, left = max(top, 0), max(left, 0)
        cut = cut[: max(shape[0] - top, 0), : max(shape[1] - left, 0)]
        return (slice(top, top + cut.shape[0]), slice(left, left + cut.shape[1])), cut
    corners = np.concatenate(one.rings)
    left, top = np.floor(corners.min(0)).clip(0, shape[::-1]).astype(int)
    right, bottom = np.ceil(corners.max(0)).clip((left, top), shape[::-1]).astype(int)
    size = bottom - top, right - left
    rings = [ring - (left, top) for ring in one.rings]
    if holes:
        mask = fill(rings, size)
    else:
        mask = np.zeros(size, bool)
        for ring in rings:
            mask |= fill([ring], size)
    return (slice(top, bottom), slice(left, right)), mask
