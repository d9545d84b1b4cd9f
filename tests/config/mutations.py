"""Faults put into a config, one at a time, and what a run would build of it."""

import copy
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config
from mmengine.runner import IterBasedTrainLoop, TestLoop, ValLoop

from mmseg_gc.config import load_config
from mmseg_gc.engine import SegRunner

Path = tuple[str | int, ...]
# Read by nothing, or under names that a config is free to choose.
FREE = {"metainfo", "work_dir", "experiment_name", "default_scope", "filename"}


@dataclass
class Mutation:
    path: Path
    kind: str
    value: Any = None

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.path))} {self.kind} {self.value!r}"

    def apply(self, cfg: dict) -> dict:
        cfg = copy.deepcopy(cfg)
        node = cfg
        for step in self.path[:-1]:
            node = node[step]
        key = self.path[-1]
        if self.kind == "delete":
            del node[key]
        elif self.kind == "typo":
            node[self.value] = node.pop(key)
        else:
            node[key] = self.value
        return cfg


def paths(node: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every key of a config, and every item of its lists, with its value."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        if key in FREE:
            continue
        yield (*path, key), value
        if isinstance(value, dict | list):
            yield from paths(value, (*path, key))


def misspell(key: str, rng: random.Random) -> str:
    place = rng.randrange(1, max(2, len(key) - 1))
    swapped = key[:place] + key[place : place + 2][::-1] + key[place + 2 :]
    return swapped if swapped != key else f"{key}x"


def mutation(cfg: dict, rng: random.Random) -> Mutation:
    """A fault somewhere in ``cfg``, of a kind that its place can have."""
    path, value = rng.choice(list(paths(cfg)))
    kinds = ["delete", "replace", "replace", "replace"]
    if isinstance(path[-1], str):
        kinds.append("typo")
    kind = rng.choice(kinds)
    if kind == "typo":
        return Mutation(path, kind, misspell(path[-1], rng))
    return Mutation(path, kind, None if kind == "delete" else rng.choice(_others(value)))


def _others(value: Any) -> list:
    every = [
        None,
        "x",
        "",
        -1,
        0,
        10**7,
        -0.5,
        math.nan,
        math.inf,
        True,
        [],
        [1, 2, 3],
        {},
        {"a": 1},
    ]
    if isinstance(value, bool):
        return [*every, "True", 2]
    if isinstance(value, int | float):
        return [*every, -value, str(value), [value], 1.5, 2 * value + 1]
    if isinstance(value, str):
        return [*every, value[:-1], value + "x", [value]]
    if isinstance(value, list | tuple):
        return [*every, list(value)[:-1], [*value, *value], [None], [-1], ["x"], [0] * len(value)]
    return every


def build(cfg: dict, work_dir: Any, *, iterate: bool = False) -> None:
    """Build all that training and testing ``cfg`` takes; without ``iterate``, nothing is run."""
    cfg = load_config(Config(copy.deepcopy(cfg)), work_dir=work_dir)
    runner = SegRunner.from_cfg(cfg)
    runs = {loop: loop.run for loop in (IterBasedTrainLoop, ValLoop, TestLoop)}
    try:
        for loop in () if iterate else runs:
            loop.run = lambda self: None
        runner.train()
        _ = runner.val_loop
        runner.test()
    finally:
        for loop, run in runs.items():
            loop.run = run


# Keys for which no number below 0, and of the first none below 1, can be meant.
COUNTS = {
    *("max_iters", "val_interval", "batch_size", "num_classes", "depth", "channels"),
    *("in_channels", "base_channels", "stem_channels", "num_stages", "crop_size"),
}
NEVER_NEGATIVE = COUNTS | {
    *("num_workers", "lr", "weight_decay", "eta_min", "power", "loss_weight", "prob"),
    *("dropout_ratio", "cat_max_ratio", "ratio", "num_convs", "begin", "end", "seed", "scale"),
    *("max_norm", "lr_mult", "strides", "dilations", "std"),
}
NUMBERS = NEVER_NEGATIVE - {"scale", "ratio", "std"}


def is_nonsense(fault: Mutation) -> bool:
    """Whether nothing can be meant by ``fault``, so that it has to be refused."""
    keys = [step for step in fault.path if isinstance(step, str)]
    key, value = keys[-1], fault.value
    if fault.kind == "typo":
        return not {"default_hooks", "custom_keys"} & set(keys[:-1]) and value.isidentifier()
    if fault.kind == "delete" or isinstance(value, bool | dict | list):
        return False
    if isinstance(value, float) and not math.isfinite(value):
        return True
    if key == "dropout_ratio" and value == -1:
        return False  # mmsegmentation's word for none
    if isinstance(value, int | float):
        in_list = isinstance(fault.path[-1], int)
        return (key in NEVER_NEGATIVE and value < 0) or (
            key in COUNTS and value == 0 and not in_list
        )
    return isinstance(value, str) and key in NUMBERS
