"""Divide a folder into train and val, or into folds, so that each has its share of every class.

Writes lists of names into DATA/splits, which `mmseg_gc init` takes; no image is moved.
"""

import argparse
from collections.abc import Sequence
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


def stratified(presence: Sequence[set], shares: Sequence[float], seed: int) -> list[int]:
    """The part that each image goes to, so that of every class each part has its share of images.

    Rare classes are dealt out first, each image to the part that lacks most of its class.

    Source: Sechidis et al., On the Stratification of Multi-Label Data, ECML 2011.
    """
    import random

    rng = random.Random(seed)
    left = list(range(len(presence)))
    rng.shuffle(left)
    wanted = [share * len(presence) for share in shares]
    counts: dict = {}
    for one in presence:
        for name in one:
            counts[name] = counts.get(name, 0) + 1
    wanted_of = {name: [share * count for share in shares] for name, count in counts.items()}
    part_of = [0] * len(presence)
    while left:
        remaining = dict.fromkeys(counts, 0)
        for index in left:
            for name in presence[index]:
                remaining[name] += 1
        alive = [name for name, count in remaining.items() if count]
        rarest = min(alive, key=lambda name: (remaining[name], str(name))) if alive else None
        for index in [i for i in left if rarest is None or rarest in presence[i]]:
            lacks = wanted_of[rarest] if rarest is not None else wanted
            part = max(range(len(shares)), key=lambda p: (lacks[p], wanted[p], -p))
            part_of[index] = part
            wanted[part] -= 1
            for name in presence[index]:
                wanted_of[name][part] -= 1
            left.remove(index)
    return part_of


def write_splits(data: Path, out_dir: Path, *, val: float, seed: int, folds: int | None) -> str:
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
    presence = class_presence([labels[name] for name in names])
    shares = [1 / folds] * folds if folds else [1 - val, val]
    parts = stratified(presence, shares, seed)
    chosen = range(folds) if folds else [1]
    for part in chosen:
        tail = f"-{part}" if folds else ""
        lists = {
            "train": [name for name, of in zip(names, parts, strict=True) if of != part],
            "val": [name for name, of in zip(names, parts, strict=True) if of == part],
        }
        if not all(lists.values()):
            raise UserError(f"{data}: a part would be empty; give another --val.")
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
    print(write_splits(args.data, out_dir, val=args.val, seed=args.seed, folds=args.folds))
