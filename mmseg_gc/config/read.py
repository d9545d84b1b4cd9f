"""Read a config file and those that it builds on, wherever these are."""

import ast
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.config.lazy import LazyAttr, LazyObject
from mmengine.logging import print_log
from mmengine.utils import is_installed

from mmseg_gc.config.adapt import FOREIGN_SCOPE, dicts
from mmseg_gc.config.data_files import DATA_FORMATS, DataFileError, require_registered_names
from mmseg_gc.config.find import config_folder, names_beside, packaged_file
from mmseg_gc.config.imports import explain_missing, import_own_modules
from mmseg_gc.config.lazy_bases import packaged_bases
from mmseg_gc.config.names import KEYS, VARIABLES, did_you_mean
from mmseg_gc.config.old import OLD_NAMES, convert_config, is_old
from mmseg_gc.config.options import merge_options
from mmseg_gc.config.unread import check_names
from mmseg_gc.config.variables import Reading, names_of
from mmseg_gc.environment import DETECTION_SCOPE, require_detection
from mmseg_gc.errors import UserError
from mmseg_gc.registry import SCOPE

# mmengine's reading is followed by replacing parts of it, for all threads.
_one_reader = threading.RLock()


def read_config(path: Path, options: Mapping[str, Any]) -> tuple[Config, dict[str, Any]]:
    """The config in the file ``path``, and those of ``options`` that aren't in it yet.

    Options of variables, such as ``crop_size``, are in every value that the files build from them.

    Raises:
        UserError: a file can't be read, or sets a key that nothing reads.
    """
    reading, given = Reading(KEYS, config_folder()), options
    try:
        with _one_reader, _own_base_files(path):
            cfg = _from_file(path, reading)
            read = {name for file in reading.files.values() for name in file.read_by_itself}
            old = is_old(cfg, read)
            if old:
                reading.take_as_keys(OLD_NAMES)
            options = _take_variables(options, reading)
            if reading.set_anew:
                cfg = _set_anew(cfg, path, reading, options.keys())
        _refuse_imports_of_data(cfg, path, reading, given)
        if reading.files and cfg.get("custom_imports"):
            import_own_modules(**cfg.custom_imports)
        if old:
            early = {k: v for k, v in options.items() if k.partition(".")[0] in OLD_NAMES}
            merge_options(cfg, early)
            options = {k: v for k, v in options.items() if k not in early}
            cfg = convert_config(cfg)
        _adopt_imports(cfg, path)
        if not reading.files:  # a pure-Python config
            text = path.read_text(encoding="utf-8")
            reading.files[str(path.resolve())] = names_of(ast.parse(text), text)
        check_names(reading, cfg, config_folder(), is_old=old)
    except UserError:
        raise
    except DataFileError as error:
        raise UserError(f"config {path} can't be read as data: {error}.") from error
    except Exception as error:  # a config is a program: it can fail in any way
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else ""
        raise UserError(f"config {path} can't be read: {type(error).__name__}: {reason}") from error
    return cfg, options


def _from_file(path: Path, reading: Reading, *, carries: bool = False) -> Config:
    with reading.watch(carries=carries):
        # Imported only when it is known who asks for it.
        return Config.fromfile(path, import_custom_modules=False)


def _refuse_imports_of_data(
    cfg: Config, path: Path, reading: Reading, options: Mapping[str, Any]
) -> None:
    files = [Path(file) for file in reading.files]
    if any(file.suffix in DATA_FORMATS for file in files):
        programs = [file.read_text(encoding="utf-8") for file in files if file.suffix == ".py"]
        require_registered_names(cfg.to_dict(), path, "\n".join([*programs, str(options)]))


def _take_variables(options: Mapping[str, Any], reading: Reading) -> dict[str, Any]:
    """Move the options of variables that a file reads into ``reading``; the rest is returned."""
    read = {name for file in reading.files.values() for name in file.read | file.read_of_bases}
    assigned = {name for file in reading.files.values() for name in file.assigned}
    variables = (read & assigned) - KEYS
    reading.options = {k: v for k, v in options.items() if k.partition(".")[0] in variables}
    return {key: value for key, value in options.items() if key not in reading.options}


def _set_anew(before: Config, path: Path, reading: Reading, explicit: Set[str]) -> Config:
    """Read ``path`` once more, with the variables that are set anew in every place of use.

    Those of ``explicit``, the options for keys themselves, win over them.
    """
    names = sorted(reading.set_anew)
    after = _from_file(path, reading, carries=True)
    changes = _changes(before, after, reading.runner_keys)
    if changes:
        some = ", ".join(f"{key}={value!r}"[:80] for key, value in changes[:3])
        more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
        print_log(
            f"{', '.join(names)} set anew, carried through to {some}{more}.", logger="current"
        )
    # An option that beats a file needs no word; of two options one may have been overlooked.
    for key in {key for key, _ in changes} & explicit if reading.options else ():
        print_log(f"{key} is set as well, and counts.", logger="current", level=logging.WARNING)
    seen = _seen(reading.differing, after, changes)
    for name in sorted(reading.differing - seen):
        without = before
        if changes and len(names) > 1:
            reading.skipped = {name}
            without = _from_file(path, reading, carries=True)
            reading.skipped = set()
        if not changes or (len(names) > 1 and not _changes(without, after, reading.runner_keys)):
            cure = f": {VARIABLES[name]}" if name in VARIABLES else ""
            print_log(
                f"{name} is set anew and changes nothing: the keys that the base builds from it "
                f"are set as well, and they count{cure}.",
                logger="current",
                level=logging.WARNING,
            )
    return after


def _seen(names: Set[str], cfg: Config, changes: list[tuple[str, Any]]) -> set[str]:
    """Those of ``names`` of whose values one alone is among ``changes``: they change something.

    Of the others another reading of the file tells, which takes a tenth of a second for each.
    """
    changed = {repr(leaf) for _, value in changes for leaf in _leaves(value)}
    held = {name: {repr(leaf) for leaf in _leaves(cfg.get(name))} for name in names}
    found = set()
    for name, values in held.items():
        others = set().union(*(held[other] for other in names if other != name))
        if values & changed - others:
            found.add(name)
    return found


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for one in value.values():
            yield from _leaves(one)
    else:
        yield value


def _changes(before: Config, after: Config, read: Set[str] = KEYS) -> list[tuple[str, Any]]:
    """The keys that a runner reads and that differ, with their values in ``after``."""
    keys = sorted(read & set(after))
    return [change for key in keys for change in _differences(before.get(key), after[key], key)]


def _differences(old: Any, new: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(old, dict) and isinstance(new, dict) and old:
        for key, value in new.items():
            yield from _differences(old.get(key), value, f"{path}.{key}")
    elif isinstance(new, list) and isinstance(old, list) and len(old) == len(new):
        for index, value in enumerate(new):
            yield from _differences(old[index], value, f"{path}.{index}")
    elif old != new:
        yield path, new


@contextmanager
def _own_base_files(config: Path) -> Iterator[None]:
    """Find ``_base_ = "mmseg::gcnet/….py"`` among this package's configs, "mmdet::" in mmdetection.

    mmengine looks such a file up in an installed mmsegmentation, and offers no hook for it.
    """
    original = Config._get_cfg_path

    def get_cfg_path(cfg_path: str, filename: str) -> tuple[str, str | None]:
        scope, _, name = cfg_path.partition("::")
        if scope == DETECTION_SCOPE:
            # By the folder: mmengine asks for a distribution of that name, which isn't its name.
            require_detection(f"detection config {config}")
            spec = find_spec(DETECTION_SCOPE)
            assert spec is not None and spec.submodule_search_locations is not None
            [folder] = spec.submodule_search_locations
            return str(Path(folder) / ".mim" / "configs" / name), None
        if scope in (FOREIGN_SCOPE, SCOPE):
            return _own_file(cfg_path, filename), SCOPE
        path, own_scope = original(cfg_path, filename)
        return (path, own_scope) if Path(path).is_file() else (_packaged(path, filename), None)

    Config._get_cfg_path = staticmethod(get_cfg_path)
    try:
        with packaged_bases():
            yield
    finally:
        Config._get_cfg_path = staticmethod(original)


def _own_file(cfg_path: str, filename: str) -> str:
    path = config_folder() / cfg_path.partition("::")[2]
    if not path.is_file():
        raise UserError(
            f"{filename} builds on {cfg_path}, and {path} doesn't exist"
            f"{did_you_mean(path.name, names_beside(path))}"
        )
    return str(path)


def _knowing_own_scope(original: Callable) -> Callable:
    """What finds the bases for any `Config.fromfile`, as of a notebook, with those of this package.

    mmengine has a fixed list of packages whose configs others may build on.
    """

    def get_cfg_path(cfg_path: str, filename: str) -> tuple[str, str | None]:
        scope = cfg_path.partition("::")[0]
        if scope == SCOPE or (scope == FOREIGN_SCOPE and not is_installed("mmsegmentation")):
            return _own_file(cfg_path, filename), SCOPE
        return original(cfg_path, filename)

    return get_cfg_path


Config._get_cfg_path = staticmethod(_knowing_own_scope(Config._get_cfg_path))


def _packaged(path: str, filename: str) -> str:
    """This package's own file for a base that isn't there: who copies a config leaves it behind."""
    found = packaged_file(path)
    if found is None:
        raise UserError(
            f"config {filename} builds on {path}, which doesn't exist"
            f"{did_you_mean(Path(path).name, names_beside(Path(path)), 'check _base_.')}"
        )
    print_log(
        f"{filename} builds on {path}, which isn't there; {found} of this package is read.",
        logger="current",
        level=logging.WARNING,
    )
    return str(found)


def _adopt_imports(cfg: Config, path: Path) -> None:
    """Let the imports of a pure-Python config find this package's classes.

    Such a config holds stand-ins for what it imports, which are resolved on first use.
    """
    for node in dicts(cfg._to_lazy_dict()):
        for value in node.values():
            if not isinstance(value, LazyObject | LazyAttr):
                continue
            source = value
            while isinstance(source, LazyAttr):
                source._module = _own_module(source._module)
                source = source.source
            source._module = _own_module(source._module)
            try:
                value.build()
            except (ImportError, AttributeError) as error:
                name = "" if str(value) == value.module else str(value).rsplit(".", 1)[-1]
                place = str(source.location or path)
                raise UserError(explain_missing(place, value.module, name)) from error


def _own_module(name: str | list[str]) -> str | list[str]:
    return _own_name(name) if isinstance(name, str) else [_own_name(one) for one in name]


def _own_name(name: str) -> str:
    top, dot, rest = name.partition(".")
    return f"{SCOPE}{dot}{rest}" if top == FOREIGN_SCOPE else name
