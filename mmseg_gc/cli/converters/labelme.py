"""Turn LabelMe's polygons to labels that hold one id a pixel.

SOURCE are folders or archives of its JSON files with their images; an image that is only inside of
its JSON is taken from there. Later shapes lie on top, as LabelMe shows them; points and lines have
no area and are left out. Ids go by the first appearance of each name, in the files' order.
"""

import base64
import binascii
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np
from PIL import Image

from mmseg_gc.cli.command import cli
from mmseg_gc.cli.converters.outlines import Files, Found, convert
from mmseg_gc.cli.converters.polygons import Shape, circle, polygon, rectangle
from mmseg_gc.cli.converters.sources import Member
from mmseg_gc.errors import UserError

WITHOUT_AREA = ("point", "points", "line", "linestrip")


def shape_of(drawn: Mapping) -> Shape | None:
    """One shape; None for what has no area.

    Raises:
        UserError: it is of an unknown kind, or its points are none.
    """
    label, kind, points = str(drawn["label"]), drawn.get("shape_type", "polygon"), drawn["points"]
    if kind in WITHOUT_AREA:
        return None
    if kind == "polygon":
        return Shape(label, (polygon(points),))
    (x0, y0), (x1, y1) = points
    if kind == "rectangle":
        return Shape(label, (rectangle(x0, y0, x1, y1),))
    if kind == "circle":
        radius = math.hypot(x1 - x0, y1 - y0)
        return Shape(label, (circle(x0, y0, radius, radius),))
    if kind != "mask":
        raise UserError(f"has a shape of the kind {kind!r:.40}, which isn't known")
    content = base64.b64decode(drawn["mask"], validate=True)
    with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
        mask = np.asarray(image.convert("L")) > 0
    return Shape(label, mask=mask, corner=(round(y0), round(x0)))


def read(files: Files, found: Found) -> None:
    """Take in all JSON files with LabelMe's keys."""
    for member, content in files.contents(".json").items():
        try:
            whole = json.loads(content)
            if not isinstance(whole, Mapping) or "shapes" not in whole:
                continue
            size = whole["imageHeight"], whole["imageWidth"]
            base = PurePosixPath(str(whole["imagePath"]).replace("\\", "/")).name
            shapes = [one for one in map(shape_of, whole["shapes"]) if one is not None]
            image = image_of(files, member, base, whole.get("imageData"))
            folder = PurePosixPath(member.name).parent
            suffix = PurePosixPath(base).suffix
            found.add(
                image, str(folder / f"{PurePosixPath(member.name).stem}{suffix}"), size, shapes
            )
        except UserError as error:
            found.fail(member, error)
        except Exception as error:  # whatever its parts may be
            found.fail(member, UserError(f"is no file of LabelMe's ({error!r:.80})"))


def image_of(files: Files, member: Member, name: str, inside: str | None) -> Member:
    """The image beside a JSON file, or the one inside of it.

    Raises:
        UserError: there is neither.
    """
    try:
        return files.image(name, member)
    except UserError:
        if not inside:
            raise
    try:
        content = base64.b64decode(inside, validate=True)
    except (binascii.Error, ValueError):
        raise UserError("has an imageData that is no image") from None
    return Member(name, len(content), member.source, "imageData", offset=0, content=content)


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    assert __doc__ is not None
    convert("labelme", __doc__, read, "order", arguments)
