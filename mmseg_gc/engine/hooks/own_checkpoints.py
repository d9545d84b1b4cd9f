"""Which files of a folder a checkpoint hook wrote: those are the only ones that it removes."""

import os
import re
from pathlib import Path


def own_file(folder: str, stored: object, template: str, best_of: str | None = None) -> str | None:
    """The file in ``folder`` with the name of ``stored``, if the hook there could have written it.

    ``stored`` comes from a checkpoint, which comes from anywhere: a copied folder, someone else.
    ``template`` is the hook's ``filename_tmpl``; ``best_of`` the figure of a best checkpoint.
    """
    if not isinstance(stored, str):
        return None
    pattern = re.escape(template).replace(r"\{\}", r"\d+")
    if best_of is not None:
        figure = r"[^/]+" if best_of == "auto" else re.escape(best_of.replace("/", "_"))
        pattern = f"best_{figure}_{pattern}"
    name = os.path.basename(stored)
    path = os.path.join(folder, name)
    return path if re.fullmatch(pattern, name) and os.path.isfile(path) else None


def own_steps(stored: object) -> list[int]:
    """Those of the kept steps in a checkpoint that are numbers of steps."""
    steps = stored if isinstance(stored, list | tuple) else []
    return [step for step in steps if type(step) is int and step >= 0]


def step_of(path: str | Path) -> int:
    """The number that ends a checkpoint's name; -1 without one."""
    found = re.search(r"_(\d+)\.pth$", str(path))
    return int(found.group(1)) if found else -1
