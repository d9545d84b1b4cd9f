"""Lay out COCO-Stuff 10k: labels of MATLAB become images of ids, 0 and 1 to 171.

SOURCE is cocostuff-10k-v1.1.zip, which goes to data/coco_stuff10k, or its folder with images/,
annotations/ and imageLists/.
"""

from collections.abc import Sequence

from mmseg_gc.cli.command import cli
from mmseg_gc.cli.converters.coco_stuff import finish, root_of
from mmseg_gc.cli.converters.common import argument_parser
from mmseg_gc.cli.converters.sources import Member, choose
from mmseg_gc.cli.converters.voc_aug import read_lists
from mmseg_gc.errors import UserError

SPLITS = {"train": "train2014", "test": "test2014"}
NUM_IMAGES = 10000


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    try:
        import scipy.io  # noqa: F401
    except ImportError:
        raise UserError(
            "COCO-Stuff 10k is of MATLAB files: run `pip install scipy` first."
        ) from None
    parser = argument_parser("coco_stuff10k", __doc__)
    parser.add_argument("--allow-partial", action="store_true", help="accept fewer images")
    args = parser.parse_args(arguments)
    members, _ = choose(
        [args.source],
        r"images/[^/]+\.jpg|annotations/[^/]+\.mat|imageLists/(?:train|test)\.txt",
        "annotations/*.mat",
        "",
        args.out_dir,
    )
    lists = read_lists(members, [f"imageLists/{split}.txt" for split in SPLITS])
    images: dict[str, Member] = {}
    labels: dict[str, Member] = {}
    for folder, stems in zip(SPLITS.values(), lists, strict=True):
        for stem in sorted(stems):
            for kind, name in ((images, f"images/{stem}.jpg"), (labels, f"annotations/{stem}.mat")):
                if name not in members:
                    raise UserError(f"imageLists names {stem}, which lacks {name}: get them all.")
                kind[f"{folder}/{stem}"] = members[name]
    root = root_of([args.source], args.out_dir, "data/coco_stuff10k")
    num = None if args.allow_partial else NUM_IMAGES
    finish(images, labels, root, num, args.nproc, args.dry_run)
