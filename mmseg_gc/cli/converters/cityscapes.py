"""Convert the polygons of Cityscapes to images of training ids, and write its split lists.

The rasters are cityscapesscripts' own. SOURCE is the folder with gtFine/ and leftImg8bit/, or the
owner's gtFine_trainvaltest.zip and leftImg8bit_trainvaltest.zip, which go to data/cityscapes.
"""

import contextlib
import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from cityscapesscripts.helpers.annotation import Annotation
from cityscapesscripts.helpers.labels import labels, name2label
from cityscapesscripts.preparation.json2labelImg import createLabelImage

from mmseg_gc.cli.command import cli
from mmseg_gc.cli.converters.common import (
    Tally,
    argument_parser,
    is_finished,
    place_all,
    require_image,
    run,
    summarise,
    write_labels,
    write_lines,
)
from mmseg_gc.cli.converters.sources import Member, Task, choose
from mmseg_gc.errors import UserError

KNOWN = frozenset(name2label)
TRAIN_IDS = sorted({label.trainId for label in labels if label.id >= 0})


def read_polygons(member: Member) -> Annotation:
    """The annotation of one image.

    Raises:
        UserError: if it is no Cityscapes polygon file or uses an unknown label.
    """
    annotation = Annotation()
    content = member.read()
    try:
        annotation.fromJsonText(content.decode())
    except Exception as error:  # its parser raises what it happens to raise
        raise UserError(f"{member} is no polygon file ({error!r:.80}): get it again.") from None
    size = annotation.imgHeight, annotation.imgWidth
    if not all(type(side) is int and side > 0 for side in size) or math.prod(size) >= 2**28:
        raise UserError(f"{member} has no sensible imgHeight and imgWidth: get it again.")
    for item in annotation.objects:
        if item.label not in KNOWN and str(item.label).removesuffix("group") not in KNOWN:
            raise UserError(
                f"{member} has the label {item.label!r:.80}, which Cityscapes does not know."
            )
    return annotation


def image_of(polygons: str) -> str:
    """The name of the image that belongs to a polygon file."""
    return re.sub(
        r"^gt\w+?/(.*)_gt\w+_polygons\.json$", r"leftImg8bit/\1_leftImg8bit.png", polygons
    )


def convert(task: Task) -> bool:
    annotation = read_polygons(task.member)
    if is_finished(task, (annotation.imgHeight, annotation.imgWidth), TRAIN_IDS):
        return False
    try:
        with contextlib.redirect_stdout(None):  # it would print into the progress bar
            raster = np.asarray(createLabelImage(annotation, "trainIds"))
    except (Exception, SystemExit) as error:  # it ends a program over what it can't draw
        raise UserError(f"{task.member} has a polygon that can't be drawn: {error}.") from None
    write_labels(task.target, raster)
    return True


def check(task: Task) -> bool:
    """Check that the image ``target`` can be read and is as large as its polygons say."""
    annotation = read_polygons(task.member)
    require_image(task.target, (annotation.imgHeight, annotation.imgWidth), task.member)
    return True


def write_splits(polygons: list[str], root: Path, dry_run: bool) -> Tally:
    """Lists of CITY/NAME without suffix, such as train.txt and gtCoarse_train.txt."""
    tally = Tally("split lists")
    splits: dict[str, list[str]] = {}
    for name in polygons:
        gt_dir, split, rest = name.split("/", 2)
        splits.setdefault(split if gt_dir == "gtFine" else f"{gt_dir}_{split}", []).append(
            re.sub(r"_gt\w+_polygons\.json$", "", rest)
        )
    for split, names in splits.items():
        write_lines(root / f"{split}.txt", names, tally, dry_run)
    return tally


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    parser = argument_parser("cityscapes", __doc__, many=True)
    parser.add_argument("--gt-dir", default="gtFine", choices=["gtFine", "gtCoarse"])
    args = parser.parse_args(arguments)
    polygons_of = f"{args.gt_dir}/SPLIT/CITY/*_polygons.json"
    members, root = choose(
        args.source,
        rf"(?:{args.gt_dir}|leftImg8bit)/\w+/[^/]+/[^/]+\.(?:json|png)",
        polygons_of,
        "data/cityscapes",
        args.out_dir,
    )
    polygons = sorted(name for name in members if name.endswith("_polygons.json"))
    if not polygons:
        raise UserError(f"{args.source[0]} has nothing to convert: {polygons_of} is missing.")
    tallies = place_all(members, root, args.nproc, args.dry_run)
    tasks = [
        Task(Member.at(root / name), root / name.replace("_polygons.json", "_labelTrainIds.png"))
        for name in polygons
    ]
    tallies.append(run("labels drawn", convert, tasks, args.nproc, args.dry_run))
    images = [
        Task(task.member, root / name)
        for task, name in zip(tasks, map(image_of, polygons), strict=True)
        if name in members
    ]
    if images and not args.dry_run:
        tallies.append(run("images read", check, images, args.nproc))
    tallies.append(write_splits(polygons, root, args.dry_run))
    summarise(tallies, args.dry_run, root)
