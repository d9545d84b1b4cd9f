"""Turn COCO's instances, polygons or run lengths, to labels that hold one id a pixel.

SOURCE are files such as instances_train.json and the folders or archives of their images, in any
order; a crowd is of its class. Ids go by the categories' own.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from mmseg_gc.cli.command import cli
from mmseg_gc.cli.converters.outlines import Files, Found, convert, split_of
from mmseg_gc.cli.converters.polygons import Shape, polygon, runs_to_mask, unpack_runs
from mmseg_gc.cli.converters.sources import Member
from mmseg_gc.errors import UserError

KEYS = {"images", "annotations", "categories"}


def shape_of(annotation: Mapping, label: str, size: tuple[int, int]) -> Shape:
    """One annotation.

    Raises:
        UserError: its segmentation is none.
    """
    drawn, is_crowd = annotation.get("segmentation"), bool(annotation.get("iscrowd"))
    if isinstance(drawn, Mapping):
        if tuple(drawn.get("size") or ()) != size:
            raise UserError("has run lengths of another size than its image")
        counts = drawn.get("counts")
        runs = unpack_runs(counts) if isinstance(counts, str) else counts
        return Shape(label, mask=runs_to_mask(runs or [], size), is_crowd=is_crowd)
    if not isinstance(drawn, list) or not drawn:
        raise UserError("has an annotation without segmentation: it is of boxes alone")
    return Shape(label, tuple(polygon(ring) for ring in drawn), is_crowd=is_crowd)


def read_file(files: Files, found: Found, member: Member, coco: Mapping, split: str) -> None:
    """Take in all images of one JSON file."""
    try:
        names = {c["id"]: str(c["name"]) for c in sorted(coco["categories"], key=lambda c: c["id"])}
        of_image = defaultdict(list)
        for annotation in coco["annotations"]:
            of_image[annotation["image_id"]].append(annotation)
        images = [(i["id"], str(i["file_name"]), (i["height"], i["width"])) for i in coco["images"]]
    except (KeyError, TypeError) as error:
        return found.fail(member, UserError(f"is no file of COCO instances ({error!r})"))
    found.classes += [name for name in names.values() if name not in found.classes]
    for number, name, size in images:
        try:
            shapes = [shape_of(a, names[a["category_id"]], size) for a in of_image[number]]
            base = PurePosixPath(name.replace("\\", "/")).name
            found.add(files.image(name, member), f"{split}{base}", size, shapes)
        except UserError as error:
            found.fail(f"{member}: {name}", error)
        except (KeyError, TypeError, ValueError) as error:
            found.fail(f"{member}: {name}", UserError(f"is no image of COCO's ({error!r})"))
    return None


def read(files: Files, found: Found) -> None:
    """Take in all JSON files with COCO's keys."""
    whole = {}
    for member, content in files.contents(".json").items():
        try:
            coco = json.loads(content)
        except (ValueError, RecursionError) as error:
            found.fail(member, UserError(f"is no JSON ({error})"))
            continue
        if isinstance(coco, Mapping) and coco.keys() >= KEYS:
            whole[member] = coco
    # Beside them, COCO has files of other tasks with the same images.
    instances = [m for m in whole if PurePosixPath(m.name).name.startswith("instances_")]
    chosen = instances or list(whole)
    for member in chosen:
        place = str(member.source) if not member.entry else member.name
        split = split_of(PurePosixPath(place).name) or split_of(place) or "all"
        read_file(files, found, member, whole[member], f"{split}/" if len(chosen) > 1 else "")


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    assert __doc__ is not None
    convert("coco", __doc__, read, "area", arguments)
