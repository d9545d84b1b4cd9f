"""``from mmseg.configs._base_.models.gcnet_r50_d8 import *`` in a pure-Python config.

Such a base is looked up as a file of an installed package, and its name is that of a module. This
package's configs are files of the other kind, with hyphens in their names. What a config asks for
is written out for the reader, with all that it builds on.
"""

import ast
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pprint import pformat

from mmengine.config import Config
from mmengine.config import config as reader
from mmengine.utils import is_installed

from mmseg_gc.config.adapt import FOREIGN_SCOPE
from mmseg_gc.config.find import config_folder
from mmseg_gc.config.names import did_you_mean
from mmseg_gc.errors import UserError
from mmseg_gc.registry import SCOPE

FOLDER = "configs"


@contextmanager
def packaged_bases() -> Iterator[None]:
    """Let mmengine find this package's configs as modules below ``mmseg.configs``."""
    before, installed = Config._parse_lazy_import, reader.get_installed_path
    with tempfile.TemporaryDirectory(prefix="mmseg_gc_configs_") as folder:

        def parse_lazy_import(filename: str) -> tuple:
            for line, module in _asked_for(filename):
                _write_out(module, Path(folder), f"{filename}, line {line}")
            return _by_mmengine(filename)

        Config._parse_lazy_import = staticmethod(parse_lazy_import)
        reader.get_installed_path = lambda package: (
            folder if package in (FOREIGN_SCOPE, SCOPE) else installed(package)
        )
        try:
            yield
        finally:
            Config._parse_lazy_import = staticmethod(before)
            reader.get_installed_path = installed


_by_mmengine = Config._parse_lazy_import


def _with_packaged_bases(filename: str) -> tuple:
    """What reads a pure-Python config for any `Config.fromfile`, as a notebook calls it."""
    if not _asked_for(filename) or is_installed("mmsegmentation"):
        return _by_mmengine(filename)
    with packaged_bases():
        return Config._parse_lazy_import(filename)


Config._parse_lazy_import = staticmethod(_with_packaged_bases)


def _asked_for(filename: str) -> list[tuple[int, list[str]]]:
    """The modules below ``mmseg.configs`` that a config imports, in parts, with their lines."""
    tree = ast.parse(Path(filename).read_text(encoding="utf-8"))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level and node.module:
            top, *parts = node.module.split(".")
            if top in (FOREIGN_SCOPE, SCOPE) and parts[:1] == [FOLDER]:
                found.append((node.lineno, parts[1:]))
    return found


def _write_out(parts: list[str], folder: Path, place: str) -> None:
    known = {_as_module(path): path for path in config_folder().rglob("*.py")}
    wanted = ".".join(parts)
    if wanted not in known:
        raise UserError(
            f"config {place}, builds on {FOREIGN_SCOPE}.{FOLDER}.{wanted}, which this package "
            f"doesn't have{did_you_mean(wanted, sorted(known), f'see {config_folder()}.')}"
        )
    content = Config.fromfile(known[wanted]).to_dict()
    target = folder.joinpath(FOLDER, *parts).with_suffix(".py")
    target.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{name} = {pformat(value, sort_dicts=False)}\n" for name, value in content.items()]
    target.write_text("".join(lines), encoding="utf-8")


def _as_module(path: Path) -> str:
    inside = path.relative_to(config_folder()).with_suffix("")
    return ".".join(inside.parts).replace("-", "_")
