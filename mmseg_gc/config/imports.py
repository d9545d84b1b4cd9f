"""Import a user's own modules; of one that fails, say which file wants what, and what there is."""

import importlib
import logging
import re
import traceback
from collections.abc import Sequence
from pathlib import Path

from mmengine.logging import print_log

from mmseg_gc.config.names import did_you_mean
from mmseg_gc.errors import UserError
from mmseg_gc.registry import SCOPE

THEIRS = "mmseg"
# Modules of mmcv 1, which mmsegmentation 0.x was written for, and where their content is now.
MOVED = {
    "mmcv.runner": "mmengine.model (BaseModule), mmengine.hooks and mmengine.runner; auto_fp16 and "
    "force_fp32 are no more",
    "mmcv.utils": "mmengine, mmengine.utils and mmengine.registry",
    "mmcv.parallel": "mmengine.model and mmengine.structures",
    "mmcv.fileio": "mmengine.fileio",
    "mmcv.engine": "mmengine.runner",
}
MISSING_NAME = re.compile(r"cannot import name '(\w+)' from '?([\w.]+)'?")


def import_own_modules(
    imports: str | Sequence[str] | None, allow_failed_imports: bool = False
) -> None:
    """Import the modules that ``custom_imports`` names.

    Raises:
        UserError: one can't be imported and ``allow_failed_imports`` isn't set.
    """
    for name in [imports] if isinstance(imports, str) else imports or ():
        if not isinstance(name, str):
            raise UserError(f"config key custom_imports.imports: {name!r} is no name of a module.")
        try:
            importlib.import_module(name)
        except Exception as error:
            text = f"custom_imports: {_reason(error, name)}"
            if not (allow_failed_imports and isinstance(error, ImportError)):
                raise UserError(text) from error
            print_log(f"{text} It is left out.", logger="current", level=logging.WARNING)


def _reason(error: Exception, wanted: str) -> str:
    name = error.name if isinstance(error, ModuleNotFoundError) else None
    if name and f"{wanted}.".startswith(f"{name}."):
        if name.partition(".")[0] in (THEIRS, SCOPE):
            return f"{name} {_instead(name)}"
        if Path(name).exists() or Path(f"{name}.py").exists():
            cure = "the current folder has it: start with PYTHONPATH=."
        else:
            cure = "put PYTHONPATH=FOLDER before the command, with the folder that has it."
        return f"no module {name!r} is in the folders that Python looks in; {cure}"
    place = _place(error) or wanted
    missing = MISSING_NAME.search(str(error))
    if isinstance(error, ImportError) and missing:
        return (
            f"{place} imports {missing[1]} of {missing[2]}, which {_instead(*missing.group(2, 1))}"
        )
    if name:
        return f"{place} imports {name}, which {_instead(name)}"
    text = " ".join(str(error).split())
    return f"{place} fails: {type(error).__name__}: {text.rstrip('.')}."


def _place(error: Exception) -> str | None:
    """The file and line in the user's own code that ``error`` comes from."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno},"
    own = [
        step
        for step in traceback.extract_tb(error.__traceback__)
        if not step.filename.startswith("<") and "site-packages" not in step.filename
        if Path(__file__).parents[1] not in Path(step.filename).parents
        if "importlib" not in Path(step.filename).parts
    ]
    return f"{own[-1].filename}, line {own[-1].lineno}," if own else None


def _instead(module: str, name: str = "") -> str:
    """The end of a sentence about ``module``, or its ``name``, that isn't there."""
    for old, new in MOVED.items():
        if f"{module}.".startswith(f"{old}."):
            return f"was mmcv 1's: take it from {new}."
    if module.partition(".")[0] not in (THEIRS, SCOPE):
        return f"isn't there{'' if name else '; install the package that has it'}."
    parent = module
    while True:
        try:
            found = importlib.import_module(parent)
            break
        except ImportError:
            parent = parent.rpartition(".")[0] or SCOPE
    names = sorted(getattr(found, "__all__", None) or _public(found))
    sought = name or module.removeprefix(f"{parent}.").rpartition(".")[2]
    listed = f"{parent} has {', '.join(names)}." if names else "this package has no such part."
    return f"doesn't exist here{did_you_mean(sought, names, listed)}"


def _public(module: object) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith(SCOPE)
    ]


def explain_missing(location: str, module: str, name: str) -> str:
    """What to tell of a pure-Python config that imports ``name`` of ``module``, which isn't there.

    ``location`` is its file and line.
    """
    what = f"{name} of {module}" if name else module
    return f"config {location}, imports {what}, which {_instead(module, name)}"
