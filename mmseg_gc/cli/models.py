"""List the configs of this package, by whose names every command takes them."""

import argparse
from collections.abc import Sequence

from mmseg_gc.arguments import ArgumentParser
from mmseg_gc.cli.command import cli
from mmseg_gc.errors import UserError


def parse_args(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = ArgumentParser(
        description=__doc__, command="models", example="mmseg_gc models cityscapes r50"
    )
    parser.add_argument("words", nargs="*", help="list names with all of these in them only")
    parser.add_argument("--all", action="store_true", help="detectors as well")
    return parser.parse_args(arguments)


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    from prettytable import PrettyTable

    from mmseg_gc.config.find import config_files
    from mmseg_gc.config.zoo import DETECTORS, Published, published

    of_config = published()
    table = PrettyTable(["name", "published mIoU"], align="l")
    for name, path in sorted(config_files().items()):
        shown = args.all or path.parent.name != DETECTORS
        if shown and all(word.lower() in name.lower() for word in args.words):
            miou = of_config.get(name, Published()).miou
            table.add_row([name, "" if miou is None else f"{miou:.2f}"])
    if not table.rows:
        raise UserError(
            f"no config has {' and '.join(args.words)} in its name; `mmseg_gc models` lists all."
        )
    print(table)
    print(
        "Weights are in metafile.yaml of a config's folder; "
        f"{table.rows[0][0]!r} is a config's whole name."
    )
