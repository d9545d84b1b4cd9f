"""The config that a name stands for: a path, or one of this package's."""

import difflib
import re
from pathlib import Path

from mmseg_gc.config.names import did_you_mean
from mmseg_gc.errors import UserError
from mmseg_gc.registry import SCOPE

# How 0.x named a segmentor's config.
OLD_NAME = re.compile(r"(?P<model>\w+?_r\d+-d8)_(?P<size>\d+x\d+)_(?P<length>\d+k)_(?P<data>\w+)")


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
    if named_by_old := packaged_file(stem):
        return named_by_old
    hint = did_you_mean(stem, known, "check the path; `mmseg_gc models` lists names.", number=3)
    if not colons and difflib.get_close_matches(path.name, names_beside(path), n=1, cutoff=0.7):
        hint = _nearest(path)
    raise UserError(f"config {source} doesn't exist{hint}")


def packaged_file(path: str | Path) -> Path | None:
    """This package's file for a base that was copied without its folder; None if there is none.

    Bases are known by their path below ``_base_``, others by their name, which may be that of 0.x:
    ``gcnet_r50-d8_512x1024_40k_cityscapes.py``.
    """
    path = Path(path)
    if "_base_" in path.parts:
        place = len(path.parts) - 1 - path.parts[::-1].index("_base_")
        inside = config_folder().joinpath(*path.parts[place:])
        return inside if inside.is_file() else None
    known = config_files()
    if (old := OLD_NAME.fullmatch(path.stem)) and path.stem not in known:
        size, length, data = old["size"], old["length"], old["data"]
        new = re.compile(rf"{re.escape(old['model'])}_\d+xb\d+-{length}_{data}-{size}")
        return next((file for name, file in known.items() if new.fullmatch(name)), None)
    return known.get(path.stem)


def _nearest(path: Path) -> str:
    return did_you_mean(path.name, names_beside(path), "check the path.")


def names_beside(path: Path) -> list[str]:
    """The Python files in ``path``'s folder."""
    return [p.name for p in path.parent.glob("*.py")] if path.parent.is_dir() else []
