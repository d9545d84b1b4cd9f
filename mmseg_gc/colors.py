"""Colours of classes, the same wherever they are drawn."""

from collections.abc import Sequence

import numpy as np


def bright_colors(count: int) -> np.ndarray:
    """``(count, 3)`` uint8 RGB colours that show on dark and light images, red first.

    Hues go on by the golden section, so that neighbours in the list lie far apart.
    """
    index = np.arange(count)[:, None]
    saturation = 0.9 - 0.15 * (index % 3)
    # Of red, green and blue the place on a wheel of six parts, on which four are without it.
    place = (index * 0.618034 * 6 + np.array([5, 3, 1])) % 6
    missing = np.minimum(place, 4 - place).clip(0, 1)
    return np.rint(255 * (1 - saturation * missing)).astype(np.uint8)


def class_colors(palette: Sequence[Sequence[int]] | None, count: int) -> np.ndarray:
    """``(count, 3)`` uint8 RGB: those of ``palette``, and bright ones for classes that it lacks."""
    colors = bright_colors(count)
    given = np.array(() if palette is None else palette, np.uint8).reshape(-1, 3)[:count]
    colors[: len(given)] = given
    return colors
