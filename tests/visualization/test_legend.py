import colorsys

from mmseg_gc.visualization.legend import bright_colors


def test_bright_colours_are_those_of_the_colour_wheel_and_all_differ():
    colours = bright_colors(150).tolist()
    assert colours[0][0] == 255 and max(colours[0][1:]) < 30  # red
    for place, colour in enumerate(colours):
        wheel = colorsys.hsv_to_rgb(place * 0.618034 % 1, 0.9 - 0.15 * (place % 3), 1.0)
        assert all(abs(255 * a - b) <= 1 for a, b in zip(wheel, colour, strict=True))
    assert len({tuple(colour) for colour in colours}) == 150
