"""Lay out and check LoveDA as its configs expect it: img_dir and ann_dir, rural and urban as one.

SOURCE is the folder with Train.zip, Val.zip and Test.zip, those archives, or what they unpack to;
all goes to data/loveDA.
"""

import functools
import re
from collections.abc import Sequence
from pathlib import Path

from mmseg_gc.cli.command import cli
from mmseg_gc.cli.converters.common import argument_parser, check_pair, place_all, run, summarise
from mmseg_gc.cli.converters.sources import Member, Task, archives_in, choose
from mmseg_gc.errors import UserError

IDS = range(8)  # 0 is no data, 1 to 7 are the classes
FILE = r"(?:Train|Val|Test)/(?:Rural|Urban)/(?:images|masks)_png/[^/]+\.png"


def place_of(name: str) -> str:
    """Where a file of the owner's goes, as in ``img_dir/train/0.png``."""
    split, _, kind, base = name.split("/")
    return f"{'img' if kind == 'images_png' else 'ann'}_dir/{split.lower()}/{base}"


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    args = argument_parser("loveda", __doc__, many=True).parse_args(arguments)
    found, _ = choose(
        archives_in(args.source), FILE, "Train/Rural/images_png/*.png", "", args.out_dir
    )
    members: dict[str, Member] = {}
    for name, member in found.items():
        if place_of(name) in members:
            raise UserError(
                f"{members[place_of(name)]} and {member} have one name: get both again."
            )
        members[place_of(name)] = member
    root = args.out_dir or Path("data/loveDA")
    labels = [name for name in members if name.startswith("ann_dir")]
    needed = {re.sub("^img", "ann", name) for name in members if not name.startswith("ann_dir")}
    needed = {name for name in needed if not name.startswith("ann_dir/test")}
    if lonely := sorted(needed ^ set(labels)):
        kind = "mask" if lonely[0] in needed else "image"
        raise UserError(f"{lonely[0][8:]} has no {kind} ({len(lonely)} such): get them all.")
    tallies = place_all(members, root, args.nproc, args.dry_run)
    if not args.dry_run:
        tasks = [Task(Member.at(root / name), root / f"img{name[3:]}") for name in labels]
        check = functools.partial(check_pair, ids=IDS)
        tallies.append(run("pairs checked", check, tasks, args.nproc))
    summarise(tallies, args.dry_run, root)
