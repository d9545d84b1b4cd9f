"""Turn a whole config of 0.x into one of 1.x that trains and tests to the same numbers."""

from collections.abc import Collection, Mapping
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from mmseg_gc.config.names import NEVER_VARIABLES, OLD_DATA, OLD_KEYS, VARIABLES
from mmseg_gc.config.old.data import convert_data
from mmseg_gc.config.old.runtime import RUNTIME_KEYS, convert_runtime
from mmseg_gc.config.old.schedule import convert_schedule

LOADERS = {"train_dataloader", "val_dataloader", "test_dataloader"}
# What 0.x reads at the top of a config and 1.x doesn't.
OLD_NAMES = (OLD_KEYS.keys() | RUNTIME_KEYS | {"optimizer"}) - {"load_from", "work_dir"}
# Variables of 0.x whose content is of no use in 1.x.
PARTS = (VARIABLES.keys() | {"img_norm_cfg", "IMG_MEAN", "IMG_VAR"}) - {"data_preprocessor"}


def is_old(cfg: Mapping, variables: Collection[str] = ()) -> bool:
    """Whether ``cfg`` names its data or schedule as 0.x does, and none as 1.x does.

    ``variables`` are names that its files read themselves.
    """
    if LOADERS & set(cfg):
        return False
    data = cfg.get("data") if "data" not in variables else None
    if isinstance(data, Mapping) and OLD_DATA & set(data):
        return True
    return any(name in cfg and name not in variables for name in NEVER_VARIABLES)


def convert_config(cfg: Config) -> Config:
    """``cfg``, which `is_old`, as a config of 1.x; one line is logged a converted group.

    Raises:
        UserError: a key has no counterpart in 1.x; the message has the cure.
    """
    old = cfg.to_dict()
    new: dict[str, Any] = {k: v for k, v in old.items() if k not in OLD_NAMES | PARTS}
    notes = [*convert_data(old, new), *convert_schedule(old, new), *convert_runtime(old, new)]
    for name in sorted({"train_cfg", "test_cfg"} & set(old)):
        if isinstance(old[name], Mapping) and "type" not in old[name]:
            # Before 0.11 the model's own settings stood at the top.
            new.setdefault("model", {}).setdefault(name, old[name])
            if name == "test_cfg":
                new[name] = dict(type="TestLoop")
            notes.append(f"{name} at the top -> model.{name}")
    for note in notes:
        print_log(f"0.x in {cfg.filename or 'the config'}: {note}.", logger="current")
    return Config(new, filename=cfg.filename)
