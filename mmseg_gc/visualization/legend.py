"""Predictions that a person can read: colours half through, and a legend beside them."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

ROW = 18  # pixels
SWATCH = 12
GAP = 6
FONT_SIZE = 12


def with_legend(
    image: np.ndarray, classes: Sequence[str], palette: np.ndarray, shown: Sequence[int]
) -> np.ndarray:
    """``image``, RGB uint8 (h, w, 3), with the names and colours of the ids ``shown`` at its right.

    The legend is as high as the image, in as many columns as that takes.
    """
    if not shown:
        return image
    height = image.shape[0]
    font = ImageFont.load_default(FONT_SIZE)
    rows = max(1, (height - GAP) // ROW)
    names = [classes[number] if number < len(classes) else str(number) for number in shown]
    wide = max(int(font.getlength(name)) for name in names) + SWATCH + 3 * GAP
    columns = -(-len(names) // rows)
    panel = Image.new("RGB", (wide * columns, height), "white")
    drawing = ImageDraw.Draw(panel)
    for place, (number, name) in enumerate(zip(shown, names, strict=True)):
        x = place // rows * wide + GAP
        y = place % rows * ROW + GAP
        color = tuple(int(level) for level in palette[number])
        drawing.rectangle((x, y, x + SWATCH, y + SWATCH), fill=color, outline="black")
        drawing.text((x + SWATCH + GAP, y - 1), name, fill="black", font=font)
    return np.concatenate([image, np.asarray(panel)], axis=1)
