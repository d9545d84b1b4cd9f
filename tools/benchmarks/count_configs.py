"""Count how many config files of a folder `load_config` takes, and why it refuses the others.

Meant for the files that an installed mmsegmentation ships: in its package, below ``.mim/configs``.
"""

import argparse
import logging
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmseg_gc.cli.command import cli
from mmseg_gc.errors import UserError

PATHS = re.compile(r"\S*/\S+")
NO_SUCH = re.compile(r"there is no (\S+) '([\w.]+)' here")
# Parts of a network that this package doesn't have, which is no fault of how a config is read.
NETWORK = ("backbone", "decode_head", "auxiliary_head", "neck", "module", "model")


def parse_args() -> argparse.Namespace:
    from mmseg_gc.arguments import ArgumentParser

    parser = ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of configs; those in _base_ don't count")
    parser.add_argument("--list", action="store_true", help="name the files of each reason")
    return parser.parse_args()


def reason_of(path: Path) -> str:
    """Why ``path`` is refused, short enough to count; "taken" if it isn't."""
    from mmseg_gc.config import load_config

    try:
        load_config(path)
    except UserError as error:
        text = PATHS.sub("…", str(error))
        missing = NO_SUCH.search(text)
        lacking = missing_parts(path)
        if missing and missing[1] == "model" or lacking:
            return "a part of the network that isn't here"
        return f"no {missing[1]} {missing[2]}" if missing else text[:100]
    return "taken"


def missing_parts(path: Path) -> list[str]:
    """The parts of ``path``'s network that no registry here has, whatever else is wrong in it."""
    from mmengine.config import Config

    from mmseg_gc.config.check_settings import look_up
    from mmseg_gc.registry import MODELS

    try:
        cfg = Config.fromfile(path, import_custom_modules=False)
    except Exception:  # a config is a program: it can fail in any way
        return []
    kinds = [kind for kind in _types(cfg.get("model") or {}) if isinstance(kind, str)]
    return [kind for kind in kinds if look_up(kind.removeprefix("mmseg."), MODELS)[0] is None]


def _types(node: Mapping[str, Any], key: str = "model") -> Iterator[Any]:
    if "type" in node and key in NETWORK:
        yield node["type"]
    for inner, value in node.items():
        for part in value if isinstance(value, list | tuple) else [value]:
            if isinstance(part, Mapping):
                yield from _types(part, inner)


@cli
def main() -> None:
    args = parse_args()
    if not args.folder.is_dir():
        raise UserError(f"{args.folder} is no folder; name one of config files.")
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    paths = [path for path in sorted(args.folder.rglob("*.py")) if "_base_" not in path.parts]
    found: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        found[reason_of(path)].append(path)
    for reason, count in Counter({k: len(v) for k, v in found.items()}).most_common():
        print(f"{count:5}  {reason}")
        if args.list:
            print(*(f"       {path.relative_to(args.folder)}" for path in found[reason]), sep="\n")
    print(f"{len(paths):5}  in all")


if __name__ == "__main__":
    main()
