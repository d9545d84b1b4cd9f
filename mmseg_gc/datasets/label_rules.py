"""What a value in a label file means, as a data set's config says it."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from mmseg_gc.datasets.transforms.labels import count_ids, id_table, shared_color
from mmseg_gc.errors import UserError

Colors = Sequence[tuple[Sequence[int], int]]  # (r, g, b) and its id
UNKNOWN = 254  # no class of a data set of fewer, nor ignored: the loader refuses it


def checked_label_map(label_map: Mapping, rules: Mapping) -> dict[int, int]:
    """A config's ``label_map``, id in the file to id, as integers.

    ``rules`` are the data set's other `label_rules`.

    Raises:
        UserError: An id isn't one of 8 bits, or leads to no class.
    """
    try:
        checked = {int(old): int(new) for old, new in label_map.items()}
    except (AttributeError, TypeError, ValueError):
        checked = {-1: -1}
    if any(number not in range(256) for pair in checked.items() for number in pair):
        raise UserError(
            f"label_map is {label_map!r}: map ids of the label files to ids of classes, all from "
            "0 to 255, as in label_map={255: 1}."
        )
    num_classes, ignore_index = rules["num_classes"], rules["ignore_index"]
    reduces = rules["reduce_zero_label"]
    table = id_table(reduces, rules["label_map"], ignore_index, checked)
    for old, new in checked.items():
        if num_classes is not None and table[old] >= num_classes and table[old] != ignore_index:
            lowered = " and reduce_zero_label lowers that by one" if reduces else ""
            raise UserError(
                f"label_map turns {old} into {new}{lowered}, but the {num_classes} classes of "
                f"metainfo.classes have the ids 0 to {num_classes - 1}: correct label_map or "
                f"metainfo.classes, or use ignore_index ({ignore_index}) for what is left out."
            )
    return checked


def require_colors(palette: Sequence) -> None:
    """Refuse what is no list of colours: no checkpoint with it could be read again.

    Raises:
        UserError: names the first that isn't (r, g, b).
    """
    for place, color in enumerate(palette):
        try:
            is_color = len(color) == 3 and all(level in range(256) for level in color)
        except TypeError:
            is_color = False
        if not is_color:
            raise UserError(
                f"metainfo.palette has {color!r} for class {place}: give (r, g, b), each from 0 to "
                "255."
            )


def grey_levels(colors: Colors | None) -> dict[int, int] | None:
    """The id of each grey level of a palette that has greys alone; None for any other."""
    if not colors or shared_color(colors) or any(len(set(color)) > 1 for color, _ in colors):
        return None
    return {int(color[0]): int(number) for color, number in colors}


def holds_grey_levels(
    paths: Iterable[str],
    read: Callable[[str], np.ndarray | None],
    levels: Mapping[int, int],
    num_classes: int,
) -> bool:
    """Whether masks of one channel hold a palette's grey ``levels`` and not ids.

    The first mask with a value that is only one of the two decides; 255, where it is a level, is
    taken for one. Without such a mask they are ids.
    """
    for path in paths:
        label = read(path)
        if label is None:
            continue
        if label.ndim != 2 or label.dtype != np.uint8:
            return False
        values = set(np.flatnonzero(count_ids(label)).tolist())
        if not values <= levels.keys():
            return False
        if any(value >= num_classes for value in values):
            return True
    return False


def map_of_grey_levels(levels: Mapping[int, int], rules: Mapping) -> dict[int, int]:
    """The ``label_map`` that reads grey ``levels``; an id that is no level becomes `UNKNOWN`.

    ``rules`` are the data set's other `label_rules`.
    """
    label_map = dict.fromkeys(range(rules["num_classes"]), UNKNOWN)
    for level, number in levels.items():
        if rules["reduce_zero_label"]:  # a palette leads to the ids of training at once
            number = 255 if number == rules["ignore_index"] else number + 1
        label_map[level] = number
    return label_map
