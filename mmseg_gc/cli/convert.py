"""Lay out a published data set, or one of your own from an annotator, as configs expect it."""

import importlib
import sys
from collections.abc import Sequence

from mmseg_gc.arguments import ArgumentParser
from mmseg_gc.cli.command import cli

CONVERTERS = {
    "ade20k": "ADE20K's scene parsing challenge: check and place",
    "camvid": "CamVid, of SegNet's layout or the owner's colours",
    "camvid_instances": "COCO instances out of CamVid, for a detector",
    "cityscapes": "Cityscapes' polygons to label files, and split lists",
    "coco": "your polygons and run lengths in COCO's format",
    "coco_stuff10k": "COCO-Stuff 10k: MATLAB's labels to label files",
    "coco_stuff164k": "COCO-Stuff 164k: the owner's ids to those of the classes",
    "cvat": "your polygons, boxes and masks of CVAT for images",
    "labelme": "your polygons of LabelMe",
    "loveda": "LoveDA, rural and urban as one: check and place",
    "pascal_context": "Pascal Context of PASCAL in Detail, and split lists",
    "potsdam": "ISPRS Potsdam cut into tiles, colours to ids",
    "vaihingen": "ISPRS Vaihingen cut into tiles, colours to ids",
    "voc_aug": "SBD's labels added to Pascal VOC 2012",
    "yolo": "your polygons in YOLO's format",
}


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    rows = "\n".join(f"  {name:<17} {text}" for name, text in CONVERTERS.items())
    parser = ArgumentParser(
        description=f"{__doc__}\n\n{rows}\n\n`mmseg_gc convert NAME --help` says what NAME takes.",
        command="convert",
        usage="mmseg_gc convert NAME SOURCE ...",
        example="mmseg_gc convert cityscapes downloads/*.zip -o data/cityscapes",
    )
    parser.add_argument("name", metavar="NAME", choices=CONVERTERS, help="data set")
    words = list(sys.argv[1:] if arguments is None else arguments)
    args = parser.parse_args(words[:1])
    importlib.import_module(f"mmseg_gc.cli.converters.{args.name}").main(words[1:])
