"""Write the labels of Pascal Context, 60 classes with 0 for the background, and its split lists.

SOURCE is the folder or archive of VOC2010, JSON the file trainval_merged.json of "PASCAL in
Detail". Labels go to SegmentationClassContext, lists to ImageSets/SegmentationContext.
"""

import functools
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmseg_gc.cli.command import cli
from mmseg_gc.cli.converters.common import (
    Tally,
    argument_parser,
    place_all,
    require_image,
    run,
    summarise,
    write_labels,
    write_lines,
)
from mmseg_gc.cli.converters.polygons import runs_to_mask, unpack_runs
from mmseg_gc.cli.converters.sources import Member, Task, choose
from mmseg_gc.errors import UserError

# The owner's ids of the classes, in the order of ours.
CATEGORIES = sorted(
    [
        0, 2, 259, 260, 415, 324, 9, 258, 144, 18, 19, 22, 23, 397, 25, 284, 158, 159, 416, 33,
        162, 420, 454, 295, 296, 427, 44, 45, 46, 308, 59, 440, 445, 31, 232, 65, 354, 424, 68,
        326, 72, 458, 34, 207, 80, 355, 85, 347, 220, 349, 360, 98, 187, 104, 105, 366, 189, 368,
        113, 115,
    ]
)  # fmt: skip
PHASES = ("train", "val")
LISTS = "ImageSets/SegmentationContext"


@dataclass(frozen=True)
class ContextTask(Task):
    """Draw the annotations (id of ours, run lengths) of one image."""

    shape: tuple[int, int] = (0, 0)
    drawn: Sequence[tuple[int, list[int]]] = ()


def convert(task: Task, root: Path) -> bool:
    """Write one label; later annotations lie on top."""
    assert isinstance(task, ContextTask)
    label = np.zeros(task.shape, np.uint8)
    for number, runs in task.drawn:
        try:
            label[runs_to_mask(runs, task.shape)] = number
        except UserError as error:
            raise UserError(f"{task.target.stem} {error}: get the JSON file again.") from None
    require_image(root / "JPEGImages" / f"{task.target.stem}.jpg", task.shape, task.member)
    return write_labels(task.target, label)


def tasks_of(path: Path, root: Path) -> tuple[list[ContextTask], dict[str, list[str]]]:
    """What is to be drawn, and the names in each split.

    Raises:
        UserError: the file isn't that of "PASCAL in Detail", or has an unknown class.
    """
    new_ids = {old: new for new, old in enumerate(CATEGORIES)}
    of_image = defaultdict(list)
    tasks, splits = [], defaultdict(list)
    try:
        whole = json.loads(path.read_bytes())
        for one in whole["annos_segmentation"]:
            runs, old = one["segmentation"], one["category_id"]
            if old not in new_ids:
                raise UserError(f"{path} has the category {old}, which is none of the 59.")
            of_image[one["image_id"]].append((new_ids[old], unpack_runs(runs["counts"])))
        for image in whole["images"]:
            if image["phase"] in PHASES:
                stem = image["file_name"].removesuffix(".jpg")
                target = root / "SegmentationClassContext" / f"{stem}.png"
                shape = int(image["height"]), int(image["width"])
                drawn = of_image[image["image_id"]]
                tasks.append(ContextTask(Member.at(path), target, shape, drawn))
                splits[image["phase"]].append(stem)
    except UserError:
        raise
    except (OSError, LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{path} is no file of PASCAL in Detail ({error!r:.80}): get it again."
        ) from None
    return tasks, splits


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    parser = argument_parser("pascal_context", __doc__)
    parser.add_argument("json", type=Path, help="trainval_merged.json")
    args = parser.parse_args(arguments)
    voc, root = choose(
        [args.source],
        r"JPEGImages/[^/]+\.jpg",
        "JPEGImages/*.jpg",
        "data/VOCdevkit/VOC2010",
        args.out_dir,
    )
    tasks, splits = tasks_of(args.json, root)
    wanted = {f"JPEGImages/{task.target.stem}.jpg" for task in tasks}
    if missing := sorted(wanted - voc.keys()):
        raise UserError(
            f"{args.json} names {missing[0]} ({len(missing)} such), which VOC2010 lacks."
        )
    tallies = place_all(
        {name: voc[name] for name in sorted(wanted)}, root, args.nproc, args.dry_run
    )
    work = functools.partial(convert, root=root)
    tallies.append(run("labels drawn", work, list(tasks), args.nproc, args.dry_run))
    lists = Tally("split lists")
    for split, names in sorted(splits.items()):
        write_lines(root / LISTS / f"{split}.txt", sorted(names), lists, args.dry_run)
    summarise([*tallies, lists], args.dry_run, root)
