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


def scores() -> dict[str, str]:
    """mIoU of single-scale testing, as published, by name of config."""
    import yaml

    from mmseg_gc.config import config_folder

    found = {}
    entries = yaml.safe_load((config_folder() / "gcnet/metafile.yaml").read_text())
    for model in entries["Models"]:
        for result in model.get("Results") or ():
            metrics = result.get("Metrics") or {}
            if metrics.get("mIoU") is not None:
                found[model["Name"]] = f"{metrics['mIoU']:.2f}"
    return found


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    from prettytable import PrettyTable

    from mmseg_gc.config.find import config_files

    published = scores()
    table = PrettyTable(["name", "published mIoU"], align="l")
    for name, path in sorted(config_files().items()):
        shown = args.all or path.parent.name != "gcnet_det"
        if shown and all(word.lower() in name.lower() for word in args.words):
            table.add_row([name, published.get(name, "")])
    if not table.rows:
        raise UserError(
            f"no config has {' and '.join(args.words)} in its name; `mmseg_gc models` lists all."
        )
    print(table)
    print(f"Weights are in the table of the README; {table.rows[0][0]!r} is a config's whole name.")
