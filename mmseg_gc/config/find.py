"""The config that a name stands for: a path, or one of this package's."""

import difflib
from pathlib import Path

from mmseg_gc.config.names import did_you_mean
from mmseg_gc.errors import UserError
from mmseg_gc.registry import SCOPE

FOLDERS = ("gcnet", "gcnet_det")


def config_folder() -> Path:
    """Where this package's config files are: in the wheel, or beside the source."""
    package = Path(__file__).parents[1]
    packed = package / ".mim" / "configs"
    return packed if packed.is_dir() else package.parent / "configs"


def config_files() -> dict[str, Path]:
    """This package's configs that can be run, by the bare name."""
    folders = [path for path in config_folder().iterdir() if not path.name.startswith("_")]
    return {path.stem: path for folder in sorted(folders) for path in folder.glob("*.py")}


def find_config(source: str | Path) -> Path:
    """The file that ``source`` names: a path, ``mmseg_gc::NAME`` or ``NAME`` of this package's.

    Raises:
        UserError: there is none; the message offers the nearest.
    """
    path = Path(source)
    scope, colons, name = str(source).partition("::")
    if not colons and (path.exists() or len(path.parts) > 1):
        if path.is_file():
            return path
        raise UserError(f"config {path} doesn't exist{_nearest(path)}")
    if colons and scope not in (SCOPE, "mmseg"):
        raise UserError(f"config {source}: {scope!r} has no configs here; write {SCOPE}::{name}.")
    wanted = Path(name if colons else source)
    inside = config_folder() / wanted
    if colons and inside.is_file():
        return inside
    known = config_files()
    stem = wanted.name.removesuffix(".py")
    if stem in known:
        return known[stem]
    hint = did_you_mean(stem, known, "check the path; `mmseg_gc models` lists names.")
    if not colons and difflib.get_close_matches(path.name, names_beside(path), n=1, cutoff=0.7):
        hint = _nearest(path)
    raise UserError(f"config {source} doesn't exist{hint}")


def _nearest(path: Path) -> str:
    return did_you_mean(path.name, names_beside(path), "check the path.")


def names_beside(path: Path) -> list[str]:
    """The Python files in ``path``'s folder."""
    return [p.name for p in path.parent.glob("*.py")] if path.parent.is_dir() else []
