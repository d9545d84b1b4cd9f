"""Write a checkpoint's weights and meta alone, without optimizer, under a name with their hash.

Nothing in the checkpoint is run. OUT.pth becomes OUT-xxxxxxxx.pth, whose digits begin the file's
SHA-256: who downloads it can see that it is whole.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmseg_gc.cli.command import cli
from mmseg_gc.errors import UserError


def parse_args(arguments: Sequence[str] | None) -> argparse.Namespace:
    from mmseg_gc.arguments import ArgumentParser

    parser = ArgumentParser(
        description=__doc__,
        example="python tools/misc/publish_model.py runs/first/iter_2000.pth streets.pth",
    )
    parser.add_argument("in_file", help="checkpoint")
    parser.add_argument("out_file", type=Path, help="file to write, NAME.pth")
    return parser.parse_args(arguments)


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    from mmseg_gc.checkpoint import publish_checkpoint

    if args.out_file.suffix != ".pth":
        raise UserError(f"{args.out_file}: weights are written by torch; name the file NAME.pth.")
    args.out_file.parent.mkdir(parents=True, exist_ok=True)
    print(f"The weights are {publish_checkpoint(args.in_file, args.out_file)}.")


if __name__ == "__main__":
    main()
