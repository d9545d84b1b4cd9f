"""Lay out COCO-Stuff 164k: labels in the owner's ids become labels of the ids 0 to 170 and 255.

SOURCE are train2017.zip, val2017.zip and stuffthingmaps_trainval2017.zip, which go to
data/coco_stuff164k, or the folder with images/ and annotations/ unpacked from them.
"""

from collections.abc import Sequence
from pathlib import PurePosixPath

from mmseg_gc.cli.command import cli
from mmseg_gc.cli.converters.coco_stuff import finish, root_of
from mmseg_gc.cli.converters.common import argument_parser
from mmseg_gc.cli.converters.sources import Member, choose

NUM_IMAGES = 123287


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    parser = argument_parser("coco_stuff164k", __doc__, many=True)
    parser.add_argument("--allow-partial", action="store_true", help="accept fewer images")
    args = parser.parse_args(arguments)
    members, _ = choose(
        args.source,
        r"(?:train|val)2017/(?:[^/]+\.jpg|(?![^/]*_labelTrainIds)[^/]+\.png)",
        "val2017/*.png",
        "",
        args.out_dir,
    )
    kinds: dict[str, dict[str, Member]] = {".jpg": {}, ".png": {}}
    for name, member in members.items():
        path = PurePosixPath(name)
        kinds[path.suffix][str(path.with_suffix(""))] = member
    root = root_of(args.source, args.out_dir, "data/coco_stuff164k")
    num = None if args.allow_partial else NUM_IMAGES
    finish(kinds[".jpg"], kinds[".png"], root, num, args.nproc, args.dry_run)
