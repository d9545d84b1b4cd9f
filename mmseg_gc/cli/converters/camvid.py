"""Lay out CamVid in the SegNet manner: 11 classes, void 11, the usual train, val and test split.

SOURCE is SegNet's folder or archive, whose labels are only checked, or the owner's two,
701_StillsRaw_full and LabeledApproved_full, whose 32 colours are converted into data/camvid.
"""

import functools
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmseg_gc.cli.command import cli
from mmseg_gc.cli.converters.common import (
    argument_parser,
    check_pair,
    place_all,
    read_image,
    run,
    summarise,
    write_labels,
)
from mmseg_gc.cli.converters.sources import Member, Task, choose
from mmseg_gc.errors import UserError

VOID = 11
IDS = range(12)
# The owner's 32 colours, grouped as Sturgess et al. (BMVC 2009) and SegNet did.
COLOURS = {
    (128, 128, 128): 0,  # sky
    (128, 0, 0): 1,  # building
    (192, 0, 128): 1,  # archway
    (0, 128, 64): 1,  # bridge
    (64, 0, 64): 1,  # tunnel
    (64, 192, 0): 1,  # wall
    (192, 192, 128): 2,  # column, pole
    (0, 0, 64): 2,  # traffic cone
    (128, 64, 128): 3,  # road
    (128, 0, 192): 3,  # lane marking
    (192, 0, 64): 3,  # other marking
    (0, 0, 192): 4,  # sidewalk
    (64, 192, 128): 4,  # parking block
    (128, 128, 192): 4,  # road shoulder
    (128, 128, 0): 5,  # tree
    (192, 192, 0): 5,  # other vegetation
    (192, 128, 128): 6,  # sign
    (128, 128, 64): 6,  # other text
    (0, 64, 64): 6,  # traffic light
    (64, 64, 128): 7,  # fence
    (64, 0, 128): 8,  # car
    (64, 128, 192): 8,  # pickup, van
    (192, 128, 192): 8,  # truck, bus
    (192, 64, 128): 8,  # train
    (128, 64, 64): 8,  # other moving thing
    (64, 64, 0): 9,  # pedestrian
    (192, 128, 64): 9,  # child
    (64, 0, 192): 9,  # cart, luggage, pram
    (64, 128, 64): 9,  # animal
    (0, 128, 192): 10,  # bicyclist
    (192, 0, 192): 10,  # motorcycle, scooter
    (0, 0, 0): VOID,
}
STRAY = 0.005  # share of pixels in other colours that is taken for the annotators' slips


def split_of(stem: str) -> str:
    """The usual split of a frame, e.g. ``0016E5_07959``: it goes by sequence and frame number."""
    match = re.fullmatch(r"(0001TP|0006R0|0016E5|Seq05VD)_f?(\d+)", stem)
    if match is None:
        raise UserError(f"{stem} is no CamVid frame: its name should be like 0016E5_07959.")
    sequence, frame = match[1], int(match[2])
    if sequence == "Seq05VD" or (sequence == "0001TP" and frame > 8520):
        return "test"
    return "val" if sequence == "0016E5" and 7959 <= frame <= 8159 else "train"


def convert(task: Task) -> bool:
    """Turn the owner's colours into class ids."""
    colours = np.asarray(read_image(task.member, ("RGB", "RGBA", "P")).convert("RGB"))
    # Every channel is a multiple of 64, so two bits of each make an index.
    classes = np.full(64, 255, np.uint8)
    for colour, index in COLOURS.items():
        classes[np.array(colour) // 64 @ [16, 4, 1]] = index
    labels = classes[colours // 64 @ np.array([16, 4, 1], np.uint8)]
    stray = (labels == 255) | (colours % 64).any(-1)
    if stray.mean() > STRAY:
        colour = tuple(colours[stray][0].tolist())
        raise UserError(f"{task.member} has the colour {colour}, which is none of CamVid's 32.")
    labels[stray] = VOID
    return write_labels(task.target, labels)


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    args = argument_parser("camvid", __doc__, many=True).parse_args(arguments)
    members, root = choose(
        args.source,
        r"(?:train|val|test)(?:annot)?/[^/]+\.png|\w+_f?\d+(?:_L)?\.png",
        "train/*.png and trainannot/*.png, or 0001TP_006690.png and 0001TP_006690_L.png,",
        "data/camvid",
        args.out_dir,
    )
    coloured = {}
    if any("/" in name for name in members):
        members = {name: member for name, member in members.items() if "/" in name}
    else:
        root = args.out_dir or Path("data/camvid")
        stems = {name: name.removesuffix(".png").removesuffix("_L") for name in members}
        split = {name: split_of(stem) for name, stem in stems.items()}
        coloured = {
            f"{split[name]}annot/{stems[name]}.png": member
            for name, member in members.items()
            if name.endswith("_L.png")
        }
        members = {
            f"{split[name]}/{name}": member
            for name, member in members.items()
            if not name.endswith("_L.png")
        }
    images = {name for name in members if "annot/" not in name}
    labels = {name.replace("annot/", "/") for name in [*members, *coloured] if "annot/" in name}
    if lonely := sorted(images ^ labels):
        kind = "label" if lonely[0] in images else "image"
        raise UserError(f"{lonely[0]} has no {kind} ({len(lonely)} such): give images and labels.")

    tallies = place_all(members, root, args.nproc, args.dry_run)
    if coloured:
        tasks = [Task(member, root / name) for name, member in coloured.items()]
        tallies.append(run("labels converted", convert, tasks, args.nproc, args.dry_run))
    if not args.dry_run and not any(tally.failures for tally in tallies):
        tasks = [
            Task(Member.at(root / name.replace("/", "annot/")), root / name)
            for name in sorted(images)
        ]
        check = functools.partial(check_pair, ids=IDS)
        tallies.append(run("pairs checked", check, tasks, args.nproc))
    summarise(tallies, args.dry_run, root)
