"""Cut ISPRS Potsdam into tiles: images, and labels whose ids count from 1.

SOURCE is the folder with 2_Ortho_RGB.zip and 5_Labels_all_noBoundary.zip, those archives, or what
they unpack to; tiles go to data/potsdam. Borders and stray colours become 0.
"""

from collections.abc import Sequence
from pathlib import Path

from mmseg_gc.cli.command import cli
from mmseg_gc.cli.converters.tiles import convert, parse_args
from mmseg_gc.datasets.named import PotsdamDataset

# fmt: off
VAL = (
    "5_15", "6_15", "6_13", "3_13", "4_14", "6_14", "5_14", "2_13", "4_15", "2_14", "5_13", "4_13",
    "3_14", "7_13",
)
# fmt: on
FILE = r"top_potsdam_\d+_\d+_(?:RGB|label(?:_noBoundary)?)\.tif"


def tile_of(name: str) -> tuple[str, bool]:
    row, column, rest = name.split("_", 4)[2:]
    return f"{row}_{int(column)}", rest.startswith("label")


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    assert __doc__ is not None
    args = parse_args("potsdam", __doc__, arguments)
    what, palette = "top_potsdam_2_10_RGB.tif", PotsdamDataset.METAINFO["palette"]
    convert(args, FILE, what, tile_of, VAL, palette, Path("data/potsdam"))
