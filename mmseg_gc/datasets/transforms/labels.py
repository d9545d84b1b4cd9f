"""Pure functions on label images: count the ids, rename them, read colours as ids."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np


def count_ids(label: np.ndarray) -> np.ndarray:
    """How many pixels of ``label`` (h, w) have each id: (256,), int64, for uint8."""
    if label.dtype != np.uint8:
        return np.bincount(label.ravel(), minlength=256)
    # Counts come as float32, so they are exact up to 2**24 pixels of one id; `numpy.unique` sorts.
    return cv2.calcHist([label], [0], None, [256], [0, 256]).ravel().astype(np.int64)


def id_table(
    reduce_zero_label: bool,
    label_map: Mapping[int, int] | None,
    ignore_index: int,
    file_label_map: Mapping[int, int] | None = None,
) -> np.ndarray:
    """The new id of each of the 256 ids in a file: (256,), uint8.

    ``file_label_map`` comes first, as if the file held what it says. ``reduce_zero_label`` then
    lowers every id by one, makes 0 ignored and keeps 255 ignored; last, ``label_map`` renames
    classes. Source: ``mmseg.datasets.transforms.LoadAnnotations``, which has no first step.
    """
    table = _renaming(file_label_map)
    if reduce_zero_label:
        lowered = np.arange(256) - 1
        lowered[[0, 255]] = ignore_index
        table = lowered[table]
    return _renaming(label_map)[table].astype(np.uint8)


def _renaming(label_map: Mapping[int, int] | None) -> np.ndarray:
    table = np.arange(256)
    if label_map:
        table[list(label_map)] = list(label_map.values())
    return table


def colors_to_ids(
    mask: np.ndarray, colors: Sequence[tuple[Sequence[int], int]]
) -> tuple[np.ndarray, list[tuple[int, int, int]]]:
    """The ids (h, w), uint8, of a colour mask (h, w, 3), uint8, BGR, and its unknown colours.

    ``colors`` holds pairs of (r, g, b) and id.
    """
    palette = np.array([color[::-1] for color, _ in colors], np.uint8)
    keys = color_keys(palette[None])
    order = np.argsort(keys)
    keys, ids = keys[order], np.array([number for _, number in colors], np.uint8)[order]
    pixels = color_keys(mask)
    # Masks are flat areas: look up one pixel of each run of a colour.
    starts = np.append(0, np.flatnonzero(pixels[1:] != pixels[:-1]) + 1)
    first = pixels[starts]
    places = np.searchsorted(keys, first).clip(max=len(keys) - 1)
    label = ids[places].repeat(np.diff(starts, append=pixels.size)).reshape(mask.shape[:2])
    unknown = np.unique(first[keys[places] != first]).tolist()
    return label, [(key >> 16 & 255, key >> 8 & 255, key & 255) for key in unknown]


def shared_color(colors: Sequence[tuple[Sequence[int], int]]) -> tuple | None:
    """The first colour (r, g, b) that stands for two ids, with both ids; None where none does."""
    id_of: dict[tuple[int, ...], int] = {}
    for color, number in colors:
        first = id_of.setdefault(tuple(color), number)
        if first != number:
            return tuple(color), first, number
    return None


def color_keys(mask: np.ndarray) -> np.ndarray:
    """One number a pixel, 0xffrrggbb: (h * w,), uint32."""
    bgra = cv2.cvtColor(mask, cv2.COLOR_BGR2BGRA)
    return bgra.view("<u4").ravel()
