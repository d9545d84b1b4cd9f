"""Refuse keys that a config file sets and nothing reads."""

import logging
from collections.abc import Mapping
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import print_log

from mmseg_gc.config.names import (
    KEYS,
    NEVER_VARIABLES,
    OLD_DATA,
    OLD_KEYS,
    READ_INSTEAD,
    is_read,
    misspelt,
)
from mmseg_gc.config.old import OLD_NAMES
from mmseg_gc.config.variables import Reading, SourceFile
from mmseg_gc.errors import UserError

# Names of Python's own that a file of literals may use.
LITERAL = {"dict", "list", "tuple", "set", "float", "int", "str"}


def check_names(
    reading: Reading, cfg: Config, package_files: Path, *, is_old: bool = False
) -> None:
    """Refuse what the files of ``reading`` set at their top and nothing reads.

    A name that is no slip for a key, and none of mmsegmentation's, may be for the user's own code
    to read; it is only told. The names of 0.x in a config that ``is_old`` have been read.

    Raises:
        UserError: such a key, with the one that is read.
    """
    files = list(reading.files.items())
    variables = {name for _, file in files for name in file.read | file.read_of_bases}
    known = KEYS | OLD_NAMES | READ_INSTEAD.keys() if is_old else KEYS
    if not is_old:
        _refuse_old_keys({k: v for k, v in cfg.items() if k not in variables}, cfg)
    for place, (path, file) in enumerate(files):
        if Path(path).is_relative_to(package_files):
            continue
        above = {name for _, other in files[place + 1 :] for name in other.read_of_bases}
        for name in sorted(file.assigned - file.read - above - known):
            is_carried = name in file.values and name in variables
            if not is_carried and not name.startswith("_") and not is_read(name, cfg):
                _refuse(name, Path(path), file)


def _refuse(name: str, path: Path, file: SourceFile) -> None:
    near = misspelt(name)
    if near is not None:
        raise UserError(f"config key {name!r} in {path} doesn't exist; did you mean {near!r}?")
    # A run's own copy of its config has every variable, and none is used any more.
    is_copy = not (file.builds_on_files or file.read - LITERAL)
    if name in READ_INSTEAD and not is_copy:
        raise UserError(f"{path} sets {name!r}, which nothing reads; set {READ_INSTEAD[name]}.")
    if not is_copy:
        print_log(
            f"{path} sets {name!r}, which no part of this package reads.",
            logger="current",
            level=logging.WARNING,
        )


def _refuse_old_keys(unread: Mapping, cfg: Config) -> None:
    """Refuse mmsegmentation 0.x's way to name the data and the schedule, where it is ``unread``."""
    data, runner = unread.get("data"), unread.get("runner")
    old = [
        *(["data"] if isinstance(data, Mapping) and OLD_DATA & set(data) else []),
        *(["runner"] if isinstance(runner, Mapping) and "type" in runner else []),
        *(name for name in sorted(NEVER_VARIABLES) if name in unread),
    ]
    if old:
        cures = "; ".join(f"for {name} set {OLD_KEYS[name]}" for name in old)
        raise UserError(f"config {cfg.filename} has keys of 0.x, which nothing reads: {cures}.")
