"""Turn YOLO's polygons to labels that hold one id a pixel.

SOURCE is the folder or archive with data.yaml, images/ and labels/, as Ultralytics and Roboflow lay
it out; an empty or missing label file is an image without shapes. Ids go by ``names`` of data.yaml.
"""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import yaml

from mmseg_gc.cli.command import cli
from mmseg_gc.cli.converters.outlines import SPLITS, Files, Found, convert
from mmseg_gc.cli.converters.polygons import Shape, polygon
from mmseg_gc.errors import UserError


def shapes_of(content: bytes, names: Sequence[str]) -> list[Shape]:
    """The shapes of a label file, whose rings are in shares of width and height.

    Raises:
        UserError: a line is no polygon, or of a class without name.
    """
    shapes = []
    for number, line in enumerate(content.decode().splitlines(), 1):
        if not (words := line.split()):
            continue
        if len(words) == 5:
            raise UserError(f"has a box and no polygon in line {number}")
        if not words[0].isdigit() or int(words[0]) >= len(names):
            raise UserError(f"has the class {words[0]:.20} in line {number} of {len(names)} names")
        shapes.append(Shape(names[int(words[0])], (polygon(words[1:]),)))
    return shapes


def class_names(contents: Mapping[Any, bytes]) -> list[str]:
    """The names in the file that has ``names``.

    Raises:
        UserError: none has.
    """
    for member, content in contents.items():
        try:
            names = yaml.safe_load(content)["names"]
            if isinstance(names, Mapping):
                names = [names[number] for number in range(len(names))]
            return [str(name) for name in names]
        except (yaml.YAMLError, KeyError, TypeError, RecursionError) as error:
            if b"names" in content:
                raise UserError(f"{member} has no list of names ({error!r:.80}).") from None
    raise UserError("data.yaml with the names of the classes is missing: put it beside images/.")


def read(files: Files, found: Found) -> None:
    """Take in all images, with the label files of their names."""
    found.classes += class_names(files.contents(".yaml", ".yml"))
    labels = {(m.source if m.entry else None, m.name): c for m, c in files.contents(".txt").items()}
    for image in [member for group in files.images.values() for member in group]:
        path = PurePosixPath(image.name)
        at = [place for place, part in enumerate(path.parts) if part == "images"]
        if not at:
            continue
        parts = list(path.with_suffix(".txt").parts)
        parts[at[-1]] = "labels"
        around = [*path.parts[: at[-1]][-1:], *path.parts[at[-1] + 1 : -1]]
        split = next((SPLITS[word] for word in around if word in SPLITS), None)
        rest = "/".join(word for word in path.parts[at[-1] + 1 :] if word not in SPLITS)
        content = labels.get((image.source if image.entry else None, "/".join(parts)), b"")
        try:
            shapes = shapes_of(content, found.classes)
            found.add(image, f"{split}/{rest}" if split else rest, None, shapes)
        except (UserError, UnicodeDecodeError) as error:
            reason = error if isinstance(error, UserError) else UserError("is no text")
            found.fail(str(image).removesuffix(image.name) + "/".join(parts), reason)


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    assert __doc__ is not None
    convert("yolo", __doc__, read, "area", arguments)
