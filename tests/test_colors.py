import colorsys

import numpy as np

from mmseg_gc.colors import bright_colors, class_colors


def test_bright_colours_are_those_of_the_colour_wheel_and_all_differ():
    colours = bright_colors(150).tolist()
    assert colours[0][0] == 255 and max(colours[0][1:]) < 30  # red
    for place, colour in enumerate(colours):
        wheel = colorsys.hsv_to_rgb(place * 0.618034 % 1, 0.9 - 0.15 * (place % 3), 1.0)
        assert all(abs(255 * a - b) <= 1 for a, b in zip(wheel, colour, strict=True))
    assert len({tuple(colour) for colour in colours}) == 150


def test_classes_that_a_palette_lacks_get_bright_colours():
    assert class_colors([(1, 2, 3)], 2).tolist() == [[1, 2, 3], bright_colors(2)[1].tolist()]
    assert class_colors([(1, 2, 3), (4, 5, 6)], 1).tolist() == [[1, 2, 3]]
    assert class_colors(None, 12).tolist() == bright_colors(12).tolist()


def test_bright_colours_of_some_classes_are_told_apart():
    colours = bright_colors(12).astype(int)
    apart = abs(colours[:, None] - colours).sum(axis=2)
    assert apart[~np.eye(12, dtype=bool)].min() > 80  # grey levels
