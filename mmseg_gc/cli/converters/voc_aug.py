"""Add the Semantic Boundaries Dataset (SBD) to Pascal VOC 2012: labels and the list of both.

SOURCE is the VOC2012 folder, or VOCtrainval_11-May-2012.tar, which goes to data/VOCdevkit/VOC2012.
SBD is benchmark.tgz or the folder unpacked from it.
"""

import functools
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmseg_gc.cli.command import cli
from mmseg_gc.cli.converters.common import (
    Tally,
    argument_parser,
    check_pair,
    place_all,
    run,
    strangers,
    summarise,
    write_labels,
    write_lines,
)
from mmseg_gc.cli.converters.sources import Member, Task, choose, stream
from mmseg_gc.errors import UserError

TRAINAUG = 10582
IDS = [*range(21), 255]
LISTS = "ImageSets/Segmentation"


def palette() -> list[int]:
    """VOC's 256 colours, flat: three bits of the id at a time make the channels' next lower bit."""
    colours = np.zeros((256, 3), int)
    ids = np.arange(256)
    for bit in range(8):
        colours |= (ids[:, None] >> (3 * bit + np.arange(3)) & 1) << (7 - bit)
    return colours.ravel().tolist()


def convert(task: Task) -> bool:
    """Write the class map of one SBD file: the matrix Segmentation in its struct GTcls."""
    from scipy.io import loadmat

    try:
        content = io.BytesIO(task.member.read())
        matrix = loadmat(content, variable_names=["GTcls"])["GTcls"]["Segmentation"][0, 0]
        labels = np.ascontiguousarray(matrix, np.uint8)
        if labels.ndim != 2 or not labels.size or (labels != matrix).any():
            raise ValueError("Segmentation is no matrix of ids")
    except UserError:
        raise
    except Exception as error:  # scipy raises what its parsers happen to raise
        raise UserError(
            f"{task.member} is no SBD class file ({error!r:.80}): get it again."
        ) from None
    if wrong := strangers(labels, IDS):
        raise UserError(f"{task.member} has the ids {wrong}; VOC goes from 0 to 20.")
    return write_labels(task.target, labels, palette())


def read_lists(members: dict[str, Member], names: list[str]) -> list[set[str]]:
    """The words of text files.

    Raises:
        UserError: if one is missing.
    """
    for name in names:
        if name not in members:
            raise UserError(f"{name} is missing beside the labels: download the data set again.")
    wanted = [Task(members[name], Path()) for name in names]
    content = {task.member.name: task.member.read() for task in stream(wanted)}
    try:
        return [set(content[members[name].name].decode().split()) for name in names]
    except UnicodeDecodeError:
        raise UserError(f"{' or '.join(names)} is no text: download the data set again.") from None


def require_files(kind: str, names: set[str], members: dict[str, Member], files: list[str]) -> None:
    """Check that each of ``names`` has all of ``files``, as in ``cls/*.mat``.

    Raises:
        UserError: with the first that lacks one.
    """
    for name in sorted(names):
        for file in files:
            if file.replace("*", name) not in members:
                raise UserError(
                    f"{kind} names {name}, which lacks {file.replace('*', name)}: get both sets."
                )


def pairs_of(root: Path, own: set[str], aug: list[str]) -> list[Task]:
    """Every listed label of VOC and every one that was added, with its image."""
    labels = dict.fromkeys(sorted(own), "SegmentationClass")
    labels |= dict.fromkeys(aug, "SegmentationClassAug")
    return [
        Task(Member.at(root / folder / f"{name}.png"), root / "JPEGImages" / f"{name}.jpg")
        for name, folder in labels.items()
    ]


check = functools.partial(check_pair, ids=IDS)


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    try:
        import scipy.io  # noqa: F401
    except ImportError:
        raise UserError("SBD's labels are MATLAB files: run `pip install scipy` first.") from None
    parser = argument_parser("voc_aug", __doc__)
    parser.add_argument("sbd", type=Path, help="benchmark.tgz or its folder")
    parser.add_argument("--allow-partial", action="store_true", help="accept fewer images")
    args = parser.parse_args(arguments)
    voc, root = choose(
        [args.source],
        rf"(?:JPEGImages/[^/]+\.jpg|SegmentationClass/[^/]+\.png|{LISTS}/(?:train|val|trainval)\.txt)",
        f"{LISTS}/train.txt",
        "data/VOCdevkit/VOC2012",
        args.out_dir,
    )
    sbd, _ = choose([args.sbd], r"(?:cls/[^/]+\.mat|train\.txt|val\.txt)", "cls/*.mat", "", None)
    train, val = read_lists(voc, [f"{LISTS}/train.txt", f"{LISTS}/val.txt"])
    sbd_train, sbd_val = read_lists(sbd, ["train.txt", "val.txt"])
    extra = sbd_train | sbd_val
    trainaug, aug = sorted((train | extra) - val), sorted(extra - train - val)
    if len(trainaug) != TRAINAUG and not args.allow_partial:
        raise UserError(
            f"{args.source} and {args.sbd} make {len(trainaug)} training images instead of "
            f"{TRAINAUG}: download both again, or pass --allow-partial."
        )
    image = "JPEGImages/*.jpg"
    require_files(LISTS, train | val, voc, [image, "SegmentationClass/*.png"])
    require_files("SBD", set(aug), voc | sbd, [image, "cls/*.mat"])

    tallies = place_all(voc, root, args.nproc, args.dry_run)
    tasks = [
        Task(member, root / "SegmentationClassAug" / (Path(name).stem + ".png"))
        for name, member in sbd.items()
        if name.endswith(".mat")
    ]
    tallies.append(run("labels converted", convert, tasks, args.nproc, args.dry_run))
    if not args.dry_run and not tallies[-1].failures:
        tallies.append(run("pairs checked", check, pairs_of(root, train | val, aug), args.nproc))
    lists = Tally("lists")
    write_lines(root / LISTS / "aug.txt", aug, lists, args.dry_run)
    write_lines(root / LISTS / "trainaug.txt", trainaug, lists, args.dry_run)
    summarise([*tallies, lists], args.dry_run, root)
