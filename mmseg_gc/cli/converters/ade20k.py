"""Lay out and check ADE20K as the scene parsing challenge gives it.

SOURCE is ADEChallengeData2016.zip, which goes to data/ade/ADEChallengeData2016, or its folder.
"""

import functools
from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath

from mmseg_gc.cli.command import cli
from mmseg_gc.cli.converters.common import argument_parser, check_pair, place_all, run, summarise
from mmseg_gc.cli.converters.sources import Member, Task, choose
from mmseg_gc.errors import UserError

COUNTS = {"training": 20210, "validation": 2000}
IDS = range(151)  # 0 is everything else, 1 to 150 are the classes


def check_counts(members: dict[str, Member], allow_partial: bool) -> None:
    """Every image needs its annotation; a whole data set has a known number of them.

    Raises:
        UserError: with the first file that lacks its partner, or the count that is wrong.
    """
    stems = defaultdict(set)
    for name in members:
        path = PurePosixPath(name)
        stems[path.parts[0], path.parts[1]].add(path.stem)
    for split, count in COUNTS.items():
        images, annotations = stems["images", split], stems["annotations", split]
        if lonely := sorted(images ^ annotations):
            kind = "annotation" if lonely[0] in images else "image"
            raise UserError(
                f"{split}/{lonely[0]} has no {kind} ({len(lonely)} such): get them all."
            )
        if len(images) != count and not allow_partial:
            raise UserError(
                f"The {split} split has {len(images)} images instead of {count}: download the "
                "data set again, or pass --allow-partial."
            )


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    parser = argument_parser("ade20k", __doc__)
    parser.add_argument("--allow-partial", action="store_true", help="accept fewer images")
    args = parser.parse_args(arguments)
    members, root = choose(
        [args.source],
        r"(?:images/(?:training|validation)/[^/]+\.jpg|annotations/(?:training|validation)/[^/]+\.png)",
        "images/training/*.jpg",
        "data/ade/ADEChallengeData2016",
        args.out_dir,
    )
    check_counts(members, args.allow_partial)
    tallies = place_all(members, root, args.nproc, args.dry_run)
    if not args.dry_run:
        tasks = [
            Task(
                Member.at(root / name),
                root / (name.replace("annotations", "images", 1)[:-3] + "jpg"),
            )
            for name in members
            if name.startswith("annotations")
        ]
        check = functools.partial(check_pair, ids=IDS)
        tallies.append(run("pairs checked", check, tasks, args.nproc))
    summarise(tallies, args.dry_run, root)
