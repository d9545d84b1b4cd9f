"""Divide a folder into train and val, or into folds, so that each has its share of every class.

Writes lists of names into DATA/splits, which `mmseg_gc init` takes; no image is moved. Images that
belong together, such as tiles of one area, stay together by --group.
"""

import argparse
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmseg_gc.arguments import ArgumentParser
from mmseg_gc.cli.command import cli
from mmseg_gc.errors import UserError


def parse_args(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = ArgumentParser(
        description=__doc__, command="split", example="mmseg_gc split data/mine --val 0.2 --seed 1"
    )
    parser.add_argument("data", type=Path, help="folder with images and labels")
    parser.add_argument("--val", type=float, default=0.2, help="share of the images, 0 to 1")
    parser.add_argument(
        "--folds", type=int, metavar="K", help="K folds in place of one split: train-I, val-I"
    )
    parser.add_argument(
        "--group",
        metavar="PATTERN",
        help="regular expression: names that begin with the same match stay in one part",
    )
    parser.add_argument("--seed", type=int, default=0, help="another one divides otherwise")
    parser.add_argument("-o", "--out-dir", type=Path, help="default: the folder splits in DATA")
    return parser.parse_args(arguments)


def class_presence(paths: Sequence[Path]) -> list[set]:
    """The ids or colours in each label file."""
    import numpy as np
    from PIL import Image

    found = []
    for path in paths:
        with Image.open(path) as image:
            pixels = np.asarray(image)
        if pixels.ndim == 3:
            flat = pixels[..., :3].reshape(-1, 3).astype(np.uint32)
            pixels = flat @ np.array([1 << 16, 1 << 8, 1], np.uint32)
        found.append(set(np.unique(pixels).tolist()))
    return found


def stratified(
    presence: Sequence[set | Mapping],
    shares: Sequence[float],
    seed: int,
    sizes: Sequence[int] | None = None,
) -> list[int]:
    """The part that each image goes to, so that of every class each part has its share of images.

    Rare classes are dealt out first, each image to the part that lacks most of its class. A group
    of images, of which ``sizes`` says how many, goes to one part; it has for each class the number
    of its images that show it.

    Source: Sechidis et al., On the Stratification of Multi-Label Data, ECML 2011.
    """
    import random

    rng = random.Random(seed)
    sizes = sizes or [1] * len(presence)
    left = list(range(len(presence)))
    rng.shuffle(left)
    left.sort(key=lambda index: -sizes[index])  # the large ones while there is room
    shown = [one if isinstance(one, Mapping) else dict.fromkeys(one, 1) for one in presence]
    wanted = [share * sum(sizes) for share in shares]
    counts: Counter = Counter()
    for one in shown:
        counts.update(one)
    wanted_of = {name: [share * count for share in shares] for name, count in counts.items()}
    part_of = [0] * len(presence)
    while left:
        remaining: Counter = Counter()
        for index in left:
            remaining.update(shown[index])
        alive = list(remaining)
        rarest = min(alive, key=lambda name: (remaining[name], str(name))) if alive else None
        for index in [i for i in left if rarest is None or rarest in shown[i]]:
            lacks = wanted_of[rarest] if rarest is not None else wanted
            part = max(range(len(shares)), key=lambda p: (lacks[p], wanted[p], -p))
            part_of[index] = part
            wanted[part] -= sizes[index]
            for name, count in shown[index].items():
                wanted_of[name][part] -= count
            left.remove(index)
    return part_of


def groups_of(names: Sequence[str], pattern: str | None) -> list[str]:
    """The group of each name: what ``pattern`` matches at its beginning, or the name itself.

    Raises:
        UserError: the pattern is none, or matches no name.
    """
    if pattern is None:
        return list(names)
    try:
        found = [re.match(pattern, name) for name in names]
    except re.error as error:
        raise UserError(f"--group {pattern!r} is no regular expression: {error}.") from None
    if not any(found):
        raise UserError(f"--group {pattern!r} matches none of the names, such as {names[0]!r}.")
    return [match[0] if match else name for match, name in zip(found, names, strict=True)]


def write_splits(
    data: Path,
    out_dir: Path,
    *,
    val: float,
    seed: int,
    folds: int | None,
    group: str | None = None,
) -> str:
    """Write the lists and return a sentence about them.

    Raises:
        UserError: the folder is divided already, or too small.
    """
    from mmseg_gc.atomic import put
    from mmseg_gc.cli.folder_layout import find_splits, undivided

    splits = find_splits(data)
    whole = undivided(splits)
    if whole is None:
        raise UserError(f"{data} is divided already, into {', '.join(splits)}.")
    names, labels = whole.names, whole.labels
    num_parts = folds or 2
    if len(names) < num_parts:
        raise UserError(f"{data} has {len(names)} labelled images, too few for {num_parts} parts.")
    shown: dict[str, Counter] = {}
    of_names = groups_of(names, group)
    for one, classes in zip(
        of_names, class_presence([labels[name] for name in names]), strict=True
    ):
        shown.setdefault(one, Counter()).update(classes)
    shares = [1 / folds] * folds if folds else [1 - val, val]
    sizes = Counter(of_names)
    dealt = stratified(list(shown.values()), shares, seed, [sizes[one] for one in shown])
    part_of = dict(zip(shown, dealt, strict=True))
    parts = [part_of[one] for one in of_names]
    chosen = range(folds) if folds else [1]
    for part in chosen:
        tail = f"-{part}" if folds else ""
        lists = {
            "train": [name for name, of in zip(names, parts, strict=True) if of != part],
            "val": [name for name, of in zip(names, parts, strict=True) if of == part],
        }
        if not all(lists.values()):
            raise UserError(f"{data}: a part would be empty; give another --val or --group.")
        for split, held in lists.items():
            put("".join(f"{name}\n" for name in held).encode(), str(out_dir / f"{split}{tail}.txt"))
    kind = f"{folds} folds" if folds else f"{parts.count(0)} for train and {parts.count(1)} for val"
    return f"{len(names)} images: {kind}, in {out_dir}"


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    if not 0 < args.val < 1:
        raise UserError(f"--val {args.val} is no share; give one between 0 and 1, such as 0.2.")
    if args.folds is not None and args.folds < 2:
        raise UserError(f"--folds {args.folds}: give 2 or more.")
    out_dir = args.out_dir or args.data / "splits"
    how = dict(val=args.val, seed=args.seed, folds=args.folds, group=args.group)
    print(write_splits(args.data, out_dir, **how))
