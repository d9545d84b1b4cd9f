"""Cut the large images of the ISPRS from the air, and their labels of colours, into tiles."""

import argparse
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from mmseg_gc.cli.converters.common import (
    argument_parser,
    read_image,
    run,
    summarise,
    write_labels,
    written_whole,
)
from mmseg_gc.cli.converters.sources import Member, Task, archives_in, choose
from mmseg_gc.errors import UserError

STRAY = 0.05  # share of pixels in other colours, which are ignored as the borders are


def starts(side: int, clip: int, stride: int) -> list[int]:
    """Where tiles begin along a side: the last ends with it, or the side is one short tile."""
    last = max(side - clip, 0)
    return [*range(0, last, stride), last]


def tiles(shape: tuple[int, ...], clip: int, stride: int) -> Iterator[tuple[int, int, int, int]]:
    """Left, upper, right and lower edge of each tile."""
    height, width = shape[:2]
    for top in starts(height, clip, stride):
        for left in starts(width, clip, stride):
            yield left, top, min(left + clip, width), min(top + clip, height)


def ids_of_colors(member: Member, palette: Sequence[Sequence[int]]) -> np.ndarray:
    """The ids (h, w), uint8, of a label of colours: 1 for the palette's first, 0 for others.

    Raises:
        UserError: it is full of other colours.
    """
    colours = np.asarray(read_image(member, ("RGB", "RGBA", "P")).convert("RGB"))
    # Every channel is 0 or 255 there, so one bit of each makes an index.
    table = np.zeros(8, np.uint8)
    for number, colour in enumerate(palette, 1):
        table[np.array(colour) // 255 @ [4, 2, 1]] = number
    stray = ((colours != 0) & (colours != 255)).any(-1)
    ids = table[colours // 255 @ np.array([4, 2, 1], np.uint8)]
    ids[stray] = 0
    other = stray | ((ids == 0) & (colours != 0).any(-1))
    if other.mean() > STRAY:
        colour = tuple(colours[other][0].tolist())
        raise UserError(
            f"{member} has the colour {colour} and others that are none of the ISPRS's."
        )
    return ids


def cut(task: Task, clip: int, stride: int, palette: Sequence[Sequence[int]] | None) -> bool:
    """Write the tiles of an image, or with ``palette`` of a label, below ``target``'s name."""
    if palette is None:
        pixels = np.asarray(read_image(task.member, ("RGB",)))[..., ::-1]
    else:
        pixels = ids_of_colors(task.member, palette)
    changed = False
    for left, top, right, bottom in tiles(pixels.shape, clip, stride):
        name = f"{task.target.name}_{left}_{top}_{right}_{bottom}.png"
        tile = np.ascontiguousarray(pixels[top:bottom, left:right])
        target = task.target.with_name(name)
        changed |= write_labels(target, tile) if palette else _write_image(target, tile)
    return changed


def _write_image(target: Path, tile: np.ndarray) -> bool:
    content = cv2.imencode(".png", tile)[1].tobytes()
    if target.is_file() and target.read_bytes() == content:
        return False
    with written_whole(target) as partial:
        partial.write_bytes(content)
    return True


def parse_args(name: str, about: str, arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argument_parser(name, about, many=True)
    parser.add_argument("--clip-size", type=int, default=512, help="side of a tile, in pixels")
    parser.add_argument(
        "--stride-size", type=int,
        help="pixels from tile to tile; default: a tile's side, which gives mmsegmentation's tiles",
    )  # fmt: skip
    args = parser.parse_args(arguments)
    args.stride_size = args.stride_size or args.clip_size
    if min(args.clip_size, args.stride_size) < 1:
        raise UserError("--clip-size and --stride-size are pixels: give 1 or more.")
    return args


def convert(
    args: argparse.Namespace,
    pattern: str,
    what: str,
    tile_of: Callable[[str], tuple[str, bool] | None],
    val: Sequence[str],
    palette: Sequence[Sequence[int]],
    default: Path,
) -> None:
    """Cut all areas; ``tile_of`` says the area of a file's name, and whether that is a label.

    Raises:
        UserError: an area lacks its image or label, or a file failed.
    """
    members, _ = choose(archives_in(args.source), pattern, what, "", args.out_dir)
    root = args.out_dir or default
    by_kind: dict[bool, dict[str, Member]] = {False: {}, True: {}}
    for name, member in members.items():
        found = tile_of(name)
        if found:
            by_kind[found[1]].setdefault(found[0], member)
    require_pairs(by_kind[False], by_kind[True])
    tallies = []
    for is_label, areas in by_kind.items():
        folder = root / ("ann_dir" if is_label else "img_dir")
        tasks = [
            Task(member, folder / ("val" if area in val else "train") / area)
            for area, member in areas.items()
        ]
        work = functools.partial(
            cut, clip=args.clip_size, stride=args.stride_size, palette=palette if is_label else None
        )
        step = "labels cut" if is_label else "images cut"
        tallies.append(run(step, work, tasks, args.nproc, args.dry_run))
    summarise(tallies, args.dry_run, root)


def require_pairs(images: Mapping[str, Member], labels: Mapping[str, Member]) -> None:
    """Each area has both.

    Raises:
        UserError: with the first that lacks one.
    """
    if lonely := sorted(images.keys() ^ labels.keys()):
        kind = "label" if lonely[0] in images else "image"
        raise UserError(f"{lonely[0]} has no {kind} ({len(lonely)} such): give both archives.")
