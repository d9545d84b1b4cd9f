"""The data sets that are told apart by facts alone, made from the table ``facts.toml``."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmseg_gc.datasets.base import BaseSegDataset
from mmseg_gc.datasets.change_detection import BaseCDDataset
from mmseg_gc.errors import UserError
from mmseg_gc.registry import DATASETS

FACTS: dict[str, dict[str, Any]] = tomllib.loads(
    Path(__file__).with_name("facts.toml").read_text(encoding="utf-8")
)
OF_FILES = ("img_suffix", "img_suffix2", "seg_map_suffix", "reduce_zero_label", "ignore_index")
# Short names of data sets, in lower case, as mmsegmentation's `get_classes` takes them.
SHORT_NAMES = {short: name for name, facts in FACTS.items() for short in facts.get("names", ())}
CLASSES: dict[str, type[BaseSegDataset]] = {}


class RefusedDataset(BaseSegDataset):
    """A data set whose names are known, and whose files are of no use here.

    Raises:
        UserError: always.
    """

    reason = ""

    def __init__(self, **kwargs: Any) -> None:
        # `**kwargs` are the data set's own.
        raise UserError(f"{type(self).__name__} can't be used: {self.reason}.")


def _names_and_colors(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What ``METAINFO`` of a class holds: its names, one colour (r, g, b) each, and the rest."""
    facts = {**FACTS.get(facts.get("classes_of") or facts.get("base", ""), {}), **facts}
    found: dict[str, Any] = {"classes": tuple(facts["classes"])}
    if "palette" in facts:
        found["palette"] = [list(bytes.fromhex(color)) for color in facts["palette"].split()]
    if "submission" in facts and "classes_of" not in facts:
        found["submission"] = facts["submission"]
    return found


def _make(name: str, facts: Mapping[str, Any]) -> type[BaseSegDataset]:
    own: dict[str, Any] = {key: facts[key] for key in OF_FILES if key in facts}
    base: type[BaseSegDataset] = BaseSegDataset
    if "refused" in facts:
        base, own["reason"] = RefusedDataset, facts["refused"]
    elif facts.get("base") == "BaseCDDataset":
        base = BaseCDDataset
    elif "base" in facts:
        base = CLASSES[facts["base"]]
    about = f"{facts['about']}\n\nSource: ``mmseg.datasets.{name}``."
    # The names let pickle and the log find the class.
    own |= {"METAINFO": _names_and_colors(facts), "__module__": __name__, "__doc__": about}
    return type(name, (base,), own)


for _name, _facts in FACTS.items():
    CLASSES[_name] = DATASETS.register_module(module=_make(_name, _facts))
globals().update(CLASSES)
__all__ = [*CLASSES]


def __getattr__(name: str) -> Any:  # which also tells type checkers that there are more names
    raise AttributeError(f"no data set {name!r} in {__name__}; there are {', '.join(CLASSES)}.")
