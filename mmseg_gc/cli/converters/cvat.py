"""Turn what CVAT exports as "CVAT for images" to labels that hold one id a pixel.

SOURCE are annotations.xml, or the archive that has it, and the folders or archives of the images.
Polygons, boxes, ellipses and masks are drawn by z_order, those of one in the file's order; points
and lines have no area and are left out. Ids go by the project's list of labels.
"""

from collections.abc import Sequence
from xml.etree import ElementTree

from mmseg_gc.cli.command import cli
from mmseg_gc.cli.converters.outlines import Files, Found, convert
from mmseg_gc.cli.converters.polygons import Shape, circle, polygon, rectangle, runs_to_mask
from mmseg_gc.errors import UserError

WITHOUT_AREA = ("polyline", "points", "skeleton", "cuboid", "tag")


def shape_of(element: ElementTree.Element) -> Shape | None:
    """One shape; None for what has no area.

    Raises:
        UserError: it is of an unknown kind, or its numbers are none.
    """
    label, kind = element.attrib.get("label", ""), element.tag
    if kind in WITHOUT_AREA:
        return None

    def numbers(*keys: str) -> list[float]:
        return [float(element.attrib[key]) for key in keys]

    if kind == "polygon":
        pairs = [pair.split(",") for pair in element.attrib["points"].split(";")]
        return Shape(label, (polygon(pairs),))
    if float(element.attrib.get("rotation", 0)):
        raise UserError(f"has a turned {kind}: draw a polygon in its place")
    if kind == "box":
        return Shape(label, (rectangle(*numbers("xtl", "ytl", "xbr", "ybr")),))
    if kind == "ellipse":
        return Shape(label, (circle(*numbers("cx", "cy", "rx", "ry")),))
    if kind != "mask":
        raise UserError(f"has a shape of the kind {kind!r:.40}, which isn't known")
    left, top, width, height = map(int, numbers("left", "top", "width", "height"))
    runs = [int(run) for run in element.attrib["rle"].split(",")]
    # Along the rows, not down the columns.
    return Shape(label, mask=runs_to_mask(runs, (width, height)).T, corner=(top, left))


def read(files: Files, found: Found) -> None:
    """Take in all files of CVAT's."""
    for member, content in files.contents(".xml").items():
        try:
            if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
                raise UserError("declares entities, which no file of CVAT's does")
            root = ElementTree.fromstring(content)
        except ElementTree.ParseError as error:
            found.fail(member, UserError(f"is no XML ({error})"))
            continue
        except UserError as error:
            found.fail(member, error)
            continue
        if root.tag != "annotations":
            continue
        names = [str(label.findtext("name")) for label in root.iterfind("meta//labels/label")]
        found.classes += [name for name in names if name not in found.classes]
        for image in root.iterfind("image"):
            name, attributes = image.attrib.get("name", ""), image.attrib
            try:
                shapes = sorted(image, key=lambda one: int(one.attrib.get("z_order", 0)))
                drawn = [one for one in map(shape_of, shapes) if one is not None]
                size = int(attributes["height"]), int(attributes["width"])
                subset = attributes.get("subset", "").lower()
                place = f"{subset}/{name}" if subset in ("train", "val", "test") else name
                found.add(files.image(name, member), place, size, drawn)
            except UserError as error:
                found.fail(f"{member}: {name}", error)
            except (KeyError, TypeError, ValueError) as error:
                found.fail(f"{member}: {name}", UserError(f"is no image of CVAT's ({error!r:.80})"))


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    assert __doc__ is not None
    convert("cvat", __doc__, read, "order", arguments)
