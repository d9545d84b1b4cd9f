"""Write a config of mmsegmentation 0.x in the form of 1.x: what `load_config` reads it as."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmseg_gc.arguments import ArgumentParser
from mmseg_gc.cli.command import cli
from mmseg_gc.errors import UserError


def parse_args(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = ArgumentParser(
        description=__doc__, example="python tools/misc/convert_config.py old.py new.py"
    )
    parser.add_argument("old", type=Path, help="config of 0.x, with the files that it builds on")
    parser.add_argument("new", type=Path, help="the file to write, whole and without bases")
    parser.add_argument("--overwrite", action="store_true", help="write over a file that is there")
    return parser.parse_args(arguments)


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    from mmseg_gc.atomic import write_atomically
    from mmseg_gc.config import SegConfig, load_config

    if args.new.suffix != ".py":
        raise UserError(f"{args.new}: the converted config is a Python file; name it NAME.py.")
    if args.new.exists() and not args.overwrite:
        raise UserError(f"{args.new} exists; choose another name, or add --overwrite.")
    content = load_config(args.old).to_dict()
    content["default_scope"] = "mmseg"  # by which mmsegmentation 1.x reads it as well
    if content["work_dir"] == str(Path("work_dirs", args.old.stem)):
        del content["work_dir"]  # which no one named
    text = SegConfig(content).pretty_text
    write_atomically(args.new, lambda file: file.write(text.encode()))
    print(f"{args.new} is written.")


if __name__ == "__main__":
    main()
