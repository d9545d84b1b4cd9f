"""Make a COCO instance set from CamVid: each connected piece of a car, pedestrian or bicyclist.

SOURCE is data/camvid as camvid.py leaves it; annotations/instances_{train,val}.json are written
into it. CamVid tells classes and not individuals: two cars that touch in the image are one piece.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from mmseg_gc.apis.shapes import run_lengths
from mmseg_gc.arguments import ArgumentParser
from mmseg_gc.cli.command import cli
from mmseg_gc.cli.converters.common import read_image, written_whole
from mmseg_gc.cli.converters.sources import Member
from mmseg_gc.errors import UserError

CATEGORIES = {8: "Car", 9: "Pedestrian", 10: "Bicyclist"}
SPLITS = ("train", "val")


def parse_args(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = ArgumentParser(description=__doc__, command="convert camvid_instances")
    parser.add_argument(
        "source", type=Path, help="the folder with train, trainannot, val, valannot"
    )
    parser.add_argument("-o", "--out-dir", type=Path, help="another place for annotations/")
    parser.add_argument(
        "--min-area", type=int, default=100, help="leave out smaller pieces (pixels)"
    )
    return parser.parse_args(arguments)


def instances(labels: np.ndarray, min_area: int) -> list[dict]:
    """The pieces (8-connected) of a label map (H, W) as COCO annotations without ids."""
    found = []
    for category in CATEGORIES:
        _, pieces, stats, _ = cv2.connectedComponentsWithStats(
            (labels == category).astype(np.uint8)
        )
        for piece, (x, y, width, height, area) in enumerate(stats.tolist()):
            if piece == 0 or area < min_area:  # piece 0 is everything else
                continue
            counts = run_lengths(pieces == piece)
            found.append(
                dict(
                    category_id=category,
                    bbox=[x, y, width, height],
                    area=area,
                    iscrowd=0,
                    segmentation=dict(size=list(labels.shape), counts=counts),
                )
            )
    return found


def annotate(root: Path, split: str, min_area: int) -> dict:
    """The COCO annotations of one split.

    Raises:
        UserError: a label has no image, there is no label, or a label isn't a map of class ids.
    """
    coco = dict(
        images=[],
        annotations=[],
        categories=[dict(id=key, name=name) for key, name in CATEGORIES.items()],
    )
    paths = sorted((root / f"{split}annot").glob("*.png"))
    if not paths:
        raise UserError(f"{root} has no {split}annot/*.png: make it with camvid.py first.")
    for number, path in enumerate(tqdm(paths, desc=split, unit=" labels"), 1):
        if not (root / split / path.name).is_file():
            raise UserError(f"{path} has no image {root / split / path.name}; put it there.")
        labels = np.asarray(read_image(Member.at(path), ("L", "P")))
        if labels.max() > 11:
            raise UserError(f"{path} has id {labels.max()}, CamVid's are 0 to 11: run camvid.py.")
        height, width = labels.shape
        coco["images"].append(dict(id=number, file_name=path.name, width=width, height=height))
        for annotation in instances(labels, min_area):
            identity = len(coco["annotations"]) + 1
            coco["annotations"].append(dict(id=identity, image_id=number, **annotation))
    return coco


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    # Both are made before either is written: a half set can't be left behind.
    made = {split: annotate(args.source, split, args.min_area) for split in SPLITS}
    for split, coco in made.items():
        target = (args.out_dir or args.source) / "annotations" / f"instances_{split}.json"
        try:
            with written_whole(target) as partial:
                partial.write_text(json.dumps(coco, separators=(",", ":")))
        except OSError as error:
            raise UserError(f"{target} can't be written ({error}): name a place with -o.") from None
        counts = [
            f"{sum(a['category_id'] == key for a in coco['annotations'])} {name}"
            for key, name in CATEGORIES.items()
        ]
        print(f"{target}: {len(coco['images'])} images, {', '.join(counts)}")
