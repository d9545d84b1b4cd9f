"""Find values that can't be right in a config: of a wrong kind, of no size, not finite."""

import inspect
import math
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from torch import Tensor

from mmseg_gc.errors import UserError

# Whose keys mean what they are called, and whose annotations are right. A user's own classes may
# see both otherwise.
KNOWN_PACKAGES = ("mmseg_gc", "mmengine", "mmcv", "torch")


@dataclass(frozen=True)
class Range:
    """The numbers that a key takes, alone or as items of a sequence."""

    whole: bool
    low: float = -math.inf
    high: float = math.inf
    above: bool = False  # `low` itself isn't among them
    below: bool = False  # nor is `high`
    words: str = ""

    def takes(self, value: Any) -> bool:
        if isinstance(value, Mapping):
            return True  # a key of the same name that holds settings
        if isinstance(value, Sequence) and not isinstance(value, str):
            return all(self.takes(item) for item in value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if self.whole and not isinstance(value, int):
            return False
        over = value > self.low if self.above else value >= self.low
        under = value < self.high if self.below else value <= self.high
        return over and under


COUNT = Range(whole=True, low=1, words="a whole number of 1 or more")
# Beyond these a machine would be out of memory or processes before it could say so.
WIDTH = Range(whole=True, low=1, high=65536, words="a whole number from 1 to 65536")
WORKERS = Range(whole=True, low=0, high=1024, words="a whole number from 0 to 1024")
SIDE = Range(whole=False, low=0, high=10**6, above=True, words="a number above 0, up to a million")
COUNT_OR_0 = Range(whole=True, low=0, words="a whole number of 0 or more")
SHARE = Range(whole=False, low=0, high=1, words="a number from 0 to 1")
DROPOUT = Range(whole=False, low=0, high=1, below=True, words="a number from 0 to below 1, or -1")
POSITIVE = Range(whole=False, low=0, above=True, words="a number above 0")
NOT_NEGATIVE = Range(whole=False, low=0, words="a number of 0 or more")
COUNT_OR_MINUS_1 = Range(whole=True, low=-1, words="a whole number of 1 or more, or -1")
LABEL = Range(whole=True, low=0, high=255, words="a whole number from 0 to 255")

RANGES = {
    **dict.fromkeys(
        [
            *("base_channels", "base_width", "batch_size", "channels", "depth", "groups"),
            *("conv_kernel_size", "dilation", "dilations", "in_channels", "kernel_size"),
            *("multi_grid", "num_classes", "num_stages", "out_channels", "prefetch_factor"),
            *("stem_channels", "strides", "times"),
        ],
        WIDTH,
    ),
    **dict.fromkeys(
        [
            *("accumulative_counts", "max_epochs", "max_iters", "patience"),
            *("val_begin", "val_interval"),
        ],
        COUNT,
    ),
    **dict.fromkeys(["num_workers", "num_convs"], WORKERS),
    **dict.fromkeys(["begin", "tolerate", "max_refetch", "opencv_num_threads"], COUNT_OR_0),
    **dict.fromkeys(["interval", "max_keep_ckpts"], COUNT_OR_MINUS_1),
    **dict.fromkeys(["crop_size", "scale", "size", "size_divisor", "stride"], SIDE),
    **dict.fromkeys(["end", "std", "ratio", "ratio_range", "scale_factor", "max_norm"], POSITIVE),
    # A scheduler takes its first factor back by dividing by it.
    **dict.fromkeys(["factor", "start_factor"], POSITIVE),
    **dict.fromkeys(
        ["class_weight", "eps", "eta_min", "loss_weight", "lr", "lr_mult", "decay_mult"],
        NOT_NEGATIVE,
    ),
    **dict.fromkeys(["power", "end_factor", "weight_decay"], NOT_NEGATIVE),
    **dict.fromkeys(["cat_max_ratio", "momentum", "prob", "threshold"], SHARE),
    **dict.fromkeys(["dropout_ratio"], DROPOUT),
    **dict.fromkeys(["ignore_index", "seg_pad_val"], LABEL),
}
# Settings that mmengine reads without a word about their kind.
BOOLS = {
    *("affine", "by_epoch", "cudnn_benchmark", "deterministic", "diff_rank_seed", "drop_last"),
    *("inplace", "keep_ratio", "persistent_workers", "pin_memory", "requires_grad", "shuffle"),
    "track_running_stats",
}
PAIRS = {"crop_size", "size"}
# Without a constructor's annotation to say so, these can't be None.
NEEDS_A_VALUE = {"batch_size", "momentum", "num_workers"}
INTERVALS = {"interval", "max_keep_ckpts"}  # 0 means nothing for these


def check_values(node: Mapping, path: str, component: Any = None) -> None:
    """Refuse values of ``node``, which a ``component`` or, without one, mmengine takes apart.

    Raises:
        UserError: one that can't be right, with its key and what would be.
    """
    hints = {} if component is None else _hints(component)
    known = component is None or is_known(component)
    for key, value in node.items():
        name = f"{path}.{key}"
        shown = f"{name}={_short(value)}"
        if (broken := _not_finite(value)) is not None:
            raise UserError(f"config key {shown} holds {broken}; give finite numbers.")
        if not known or key == "type":
            continue
        if hints.get(key) is type(None) and value is not None:
            raise UserError(f"config key {shown} isn't supported: leave it out.")
        if key in hints and not fits(value, hints[key]):
            raise UserError(f"config key {shown} has to be {describe(hints[key])}.")
        if key in BOOLS and key not in hints and not fits(value, bool):
            raise UserError(f"config key {shown} has to be True or False.")
        if key in PAIRS and isinstance(value, list | tuple) and len(value) != 2:
            raise UserError(f"config key {shown} has to be (height, width).")
        if value is None:
            if key in NEEDS_A_VALUE and key not in hints:
                raise UserError(f"config key {name}=None has to be {RANGES[key].words}.")
        elif key in RANGES and not _in_range(key, value):
            raise UserError(f"config key {shown} has to be {RANGES[key].words}.")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"


def _in_range(key: str, value: Any) -> bool:
    if isinstance(value, str):
        return key in ("class_weight", "ratio")  # the name of a file; a word
    if RANGES[key] is DROPOUT and value == -1 and type(value) is int:  # mmsegmentation's for none
        return True
    return RANGES[key].takes(value) and not (key in INTERVALS and value == 0)


def is_known(component: Any) -> bool:
    """Whether keys and annotations of ``component`` mean what they say."""
    module = getattr(component, "__module__", None) or ""
    return module.partition(".")[0] in KNOWN_PACKAGES


def _not_finite(value: Any) -> str | None:
    """nan or inf, if ``value`` is one or holds one in a list."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list | tuple):
        return next((bad for item in value if (bad := _not_finite(item)) is not None), None)
    return None


@lru_cache(maxsize=512)
def _hints(component: Any) -> dict[str, Any]:
    """The annotations of what ``component`` is built with, its own before its parents'."""
    owners = component.__mro__ if inspect.isclass(component) else (component,)
    hints: dict[str, Any] = {}
    for owner in owners:
        init = owner.__dict__.get("__init__") if inspect.isclass(owner) else owner
        if init is None or not is_known(owner):
            continue
        try:
            found = typing.get_type_hints(init)
            parameters = inspect.signature(init).parameters
        except (NameError, TypeError, ValueError, AttributeError):
            continue
        for name, hint in found.items():
            if name in parameters and parameters[name].default is None:
                hint = hint | None if isinstance(hint, type) else typing.Optional[hint]  # noqa: UP045
            hints.setdefault(name, hint)
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            break
    return hints


def fits(value: Any, hint: Any) -> bool:
    """Whether ``value`` is of the kind ``hint``; lists and tuples count as one, and dicts.

    Of a class that a config can't write down, everything is.
    """
    origin, items = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, item) for item in items)
    if origin is Literal:
        return value in items
    if hint is None or hint is type(None):
        return value is None
    if hint is bool:
        return isinstance(value, bool | int) and value in (0, 1)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is str:
        return isinstance(value, str)
    kind = origin or hint
    if kind is tuple and items and Ellipsis not in items:
        same = isinstance(value, list | tuple) and len(value) == len(items)
        return same and all(map(fits, value, items))
    if inspect.isclass(kind) and kind in SEQUENCES:
        return isinstance(value, list | tuple) and all(
            fits(item, items[0]) for item in value if items
        )
    if inspect.isclass(kind) and issubclass(kind, Mapping):
        return isinstance(value, Mapping)
    return kind is not Tensor  # which no config can write down


SEQUENCES = {list, tuple, Sequence, Iterable, typing.Iterable}
WORDS = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "text",
    type(None): "None",
}


MANY = {bool: "True or False", int: "whole numbers", float: "numbers", str: "texts", dict: "dicts"}


def describe(hint: Any) -> str:
    """``hint`` in words."""
    origin, items = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        kinds = dict.fromkeys(describe(item) for item in items if item is not Tensor)
        return " or ".join(kinds)
    if origin is Literal:
        return " or ".join(repr(item) for item in items)
    kind = origin or hint
    if kind is tuple and items and Ellipsis not in items:
        return f"{len(items)} of ({', '.join(describe(item) for item in items)})"
    if inspect.isclass(kind) and kind in SEQUENCES:
        return f"a list of {MANY.get(items[0], 'such')}" if items else "a list"
    if inspect.isclass(kind) and issubclass(kind, Mapping):
        return "a dict"
    return WORDS.get(hint, getattr(hint, "__name__", str(hint)))
