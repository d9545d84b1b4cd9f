"""Cut ISPRS Vaihingen into tiles: images, and labels whose ids count from 1.

SOURCE is the folder with ISPRS_semantic_labeling_Vaihingen.zip and the archive of the same name
that ends in _ground_truth_eroded_COMPLETE, those archives, or what they unpack to; tiles go to
data/vaihingen. Borders and stray colours become 0; area 9 is left out, as always.
"""

from collections.abc import Sequence
from pathlib import Path

from mmseg_gc.cli.command import cli
from mmseg_gc.cli.converters.tiles import convert, parse_args
from mmseg_gc.datasets.named import ISPRSDataset

VAL = [f"area{n}" for n in (6, 24, 35, 16, 14, 22, 10, 4, 2, 20, 8, 31, 33, 27, 38, 12, 29)]
FILE = r"top/top_mosaic_09cm_area\d+\.tif|top_mosaic_09cm_area\d+_noBoundary\.tif"


def tile_of(name: str) -> tuple[str, bool] | None:
    area, _, rest = name.rsplit(".", 1)[0].partition("09cm_")[2].partition("_")
    return None if area == "area9" else (area, bool(rest))


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    assert __doc__ is not None
    args = parse_args("vaihingen", __doc__, arguments)
    what, palette = "top/top_mosaic_09cm_area1.tif", ISPRSDataset.METAINFO["palette"]
    convert(args, FILE, what, tile_of, VAL, palette, Path("data/vaihingen"))
