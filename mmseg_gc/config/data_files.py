"""Configs in YAML and JSON are data: they name registered classes, and nothing else is imported.

What the Python files of a config name, which are programs, stays allowed: also where a YAML file
builds on them.
"""

import json
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import yaml

from mmseg_gc.config.adapt import FOREIGN_SCOPE
from mmseg_gc.errors import UserError
from mmseg_gc.registry import SCOPE

DATA_FORMATS = (".json", ".yaml", ".yml")
SCOPES = {SCOPE, FOREIGN_SCOPE, "mmengine", "mmcv", "mmdet"}
# Keys by which mmengine looks a class or function up, beside all that end in "type".
LOOKED_UP = {"constructor", "collate_fn", "worker_init_fn"}
SCOPE_KEYS = {"default_scope", "_scope_"}
MAX_VALUES = 1_000_000  # a config has some thousands
IDENTIFIER = re.compile(r"[A-Za-z_]\w*")


class DataFileError(ValueError):
    """A YAML or JSON file that is none, or more than data."""


def data_file_bases(path: str | Path) -> list[str]:
    """The files that a YAML or JSON file builds on."""
    bases = read_data_file(path).get("_base_", [])
    return bases if isinstance(bases, list) else [bases]


def read_data_file(path: str | Path) -> dict:
    """The content of a YAML or JSON file, read without making objects that it names.

    Raises:
        DataFileError: it can't be read, makes objects, or repeats itself by references until it
            would fill the memory.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        if Path(path).suffix == ".json":
            content = json.loads(text)
        else:
            content = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(getattr(error, "problem", None) or error).split())
        mark = getattr(error, "problem_mark", None)
        raise DataFileError(f"{reason}{f' (line {mark.line + 1})' if mark else ''}") from error
    if not isinstance(content, dict):
        raise DataFileError("it holds no keys and values at its top")
    waiting, seen = [content], 0
    while waiting:
        value = waiting.pop()
        seen += 1
        if seen > MAX_VALUES:
            raise DataFileError(f"it repeats itself to more than {MAX_VALUES:,} values")
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return content


def require_registered_names(cfg: Mapping, path: Path, programs: str) -> None:
    """Refuse what would be imported by its name, unless the text ``programs`` has that name.

    ``programs`` are the Python files that ``cfg`` was read from, and what was given by hand.

    Raises:
        UserError: names the key.
    """
    for place, key, name in _names(cfg, ""):
        if re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", programs):
            continue
        if place.startswith("custom_imports"):
            what = f"asks to import {name!r}"
        elif key in SCOPE_KEYS and name not in SCOPES:
            what = f"names the scope {name!r}"
        elif key not in SCOPE_KEYS and _would_import(name):
            what = f"is {name!r}, which isn't the name of a registered class"
        else:
            continue
        raise UserError(
            f"config {path}: key {place} {what}; a YAML or JSON file is data and imports nothing, "
            "so write that in a Python config."
        )


def _names(value: object, place: str, key: str = "") -> Iterator[tuple[str, str, str]]:
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _names(part, f"{place}.{name}" if place else str(name), str(name))
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield from _names(part, f"{place}.{index}", key)
    elif isinstance(value, str) and (
        key.endswith("type")
        or key in LOOKED_UP
        or key in SCOPE_KEYS
        or place.startswith("custom_imports")
    ):
        yield place, key, value


def _would_import(name: str) -> bool:
    """Whether mmengine, which imports what isn't registered, would find ``name`` by importing."""
    scope, *parts = name.split(".")
    if not IDENTIFIER.fullmatch(scope):
        return False
    if len(parts) == 1 and scope in SCOPES:
        return find_spec(scope) is not None and hasattr(import_module(scope), parts[0])
    return bool(parts) or find_spec(scope) is not None
