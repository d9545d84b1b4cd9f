"""Pure functions on label pictures: count the ids, rename them, read colours as ids."""

from collections.abc import Sequence

import cv2
import numpy as np


def count_ids(label: np.ndarray) -> np.ndarray:
    """How many pixels of ``label`` (h, w) have each id: (256,), int64, for uint8."""
    if label.dtype != np.uint8:
        return np.bincount(label.ravel(), minlength=256)
    # Counts come as float32, so they are exact up to 2**24 pixels of one id; `numpy.unique` sorts.
    return cv2.calcHist([label], [0], None, [256], [0, 256]).ravel().astype(np.int64)


def id_table(
    reduce_zero_label: bool, label_map: dict[int, int] | None, ignore_index: int
) -> np.ndarray:
    """The new id of each of the 256 ids in a file: (256,), uint8.

    ``reduce_zero_label`` lowers every id by one, makes 0 ignored and keeps 255 ignored; then
    ``label_map`` renames. Source: ``mmseg.datasets.transforms.LoadAnnotations``.
    """
    table = np.arange(256)
    if reduce_zero_label:
        table -= 1
        table[[0, 255]] = ignore_index
    if label_map:
        renamed = np.arange(256)
        renamed[list(label_map)] = list(label_map.values())
        table = renamed[table]
    return table.astype(np.uint8)


def colors_to_ids(
    mask: np.ndarray, colors: Sequence[tuple[Sequence[int], int]]
) -> tuple[np.ndarray, list[tuple[int, int, int]]]:
    """The ids (h, w), uint8, of a colour mask (h, w, 3), uint8, RGB, and its unknown colours.

    ``colors`` holds pairs of (r, g, b) and id.
    """
    keys = np.array([_pack(np.array(color)) for color, _ in colors])
    order = np.argsort(keys)
    keys, ids = keys[order], np.array([number for _, number in colors], np.uint8)[order]
    packed = _pack(mask)
    places = np.searchsorted(keys, packed).clip(max=len(keys) - 1)
    unknown = np.unique(packed[keys[places] != packed])
    return ids[places], [(int(k) >> 16, int(k) >> 8 & 255, int(k) & 255) for k in unknown]


def _pack(color: np.ndarray) -> np.ndarray:
    red, green, blue = np.moveaxis(color.astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue
