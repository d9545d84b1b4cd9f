"""Short names of what people change most, ``iters=2000``, for the config keys behind them."""

import ast
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mmseg_gc.errors import UserError

ABOUT = {
    "model": "r18, r50 or r101",
    "crop": "pixels of training crops, 512 or HEIGHTxWIDTH",
    "iters": "iterations, with the learning rate's schedule",
    "batch": "images an iteration and process",
    "lr": "learning rate at the beginning",
    "amp": "true or false: mixed precision",
    "workers": "processes that read data",
    "val_interval": "iterations from one validation to the next",
    "seed": "of the random numbers",
    "data": "folder of the data set (data_root)",
}
# What `iters` brings along, and who sets it otherwise keeps it.
BROUGHT_ALONG = {
    "train_cfg.val_interval",
    "default_hooks.checkpoint.interval",
    "default_hooks.logger.interval",
}
AMP = "mmseg_gc.AmpOptimWrapper"  # whatever the config's scope


def short_options(words: Sequence[str], cfg: Mapping) -> dict[str, Any]:
    """``words``, each ``KEY=VALUE``, as options for ``cfg``: dotted keys.

    Raises:
        UserError: a key doesn't exist, its value is none, or it would do nothing in ``cfg``.
    """
    from mmseg_gc.config import did_you_mean

    options: dict[str, Any] = {}
    brought: dict[str, Any] = {}
    given: dict[str, str] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if given.setdefault(key, word) is not word:
            raise UserError(f"{given[key]} and {word}: give {key} once.")
        if key not in ABOUT or not equals:
            hint = did_you_mean(
                key, ABOUT, f"known: {', '.join(ABOUT)}; others go by --cfg-options."
            )
            raise UserError(f"{word!r} is no KEY=VALUE that train takes{hint}")
        found = SETTERS[key](text, cfg)
        if key == "iters":
            brought = {name: found.pop(name) for name in BROUGHT_ALONG & found.keys()}
        options |= found
    last = options.get("train_cfg.max_iters", (cfg.get("train_cfg") or {}).get("max_iters"))
    if "val_interval" in given and options["train_cfg.val_interval"] > (last or math.inf):
        raise UserError(f"{given['val_interval']} would do nothing: there are {last} iterations.")
    return brought | options


def _model_options(text: str, cfg: Mapping) -> dict[str, Any]:
    from mmengine.config import Config

    from mmseg_gc.config import config_folder

    if text not in ("r18", "r50", "r101"):
        raise UserError(f"model={text}: there are r18, r50 and r101.")
    model = cfg.get("model") or {}
    backbone = model.get("backbone") or {}
    heads = ("decode_head", "auxiliary_head")
    fits = _kind(backbone) == "ResNetV1c" and all(
        isinstance(model.get(head), Mapping) and isinstance(model[head].get("in_channels"), int)
        for head in heads
    )
    if not fits:
        raise UserError(f"model={text}: this config's model isn't a ResNetV1c with two heads.")
    if backbone.get("init_cfg"):
        raise UserError(f"model={text}: model.backbone.init_cfg is for another one; change it too.")
    base = "r18" if text == "r18" else "r50"
    source = Config.fromfile(config_folder() / f"_base_/models/gcnet_{base}-d8.py").model
    depth = int(text[1:])
    options: dict[str, Any] = {"model.backbone.depth": depth}
    if model.get("pretrained") is not None:
        options["model.pretrained"] = f"open-mmlab://resnet{depth}_v1c"
    for head in heads:
        for key in ("in_channels", "channels"):
            options[f"model.{head}.{key}"] = source[head][key]
    return options


def _crop(text: str, cfg: Mapping) -> dict[str, Any]:
    sizes = text.lower().split("x")
    if len(sizes) > 2 or not all(size.isdigit() and int(size) > 0 for size in sizes):
        raise UserError(f"crop={text}: give a side in pixels, 512, or HEIGHTxWIDTH, 360x480.")
    size = (int(sizes[0]), int(sizes[-1]))
    options = {
        f"{key}.pipeline.{place}.crop_size": size
        for key, leaf in _leaves(cfg, "train_dataloader")
        for place, step in enumerate(leaf.get("pipeline") or ())
        if _kind(step) == "RandomCrop"
    }
    if not options:
        raise UserError(f"crop={text} would do nothing: no pipeline of training has a RandomCrop.")
    preprocessor = (cfg.get("model") or {}).get("data_preprocessor") or {}
    if preprocessor.get("size") is not None:
        options["model.data_preprocessor.size"] = size
    return options


def _iters(text: str, cfg: Mapping) -> dict[str, Any]:
    number, before = _number("iters", text), (cfg.get("train_cfg") or {}).get("max_iters")
    if before is None:
        raise UserError(f"iters={text} would do nothing: this config trains by epochs.")
    options: dict[str, Any] = {"train_cfg.max_iters": number}
    schedules = cfg.get("param_scheduler") or ()
    schedules = schedules if isinstance(schedules, list | tuple) else [schedules]
    for place, one in enumerate(schedules):
        if one.get("end") == before:
            options[f"param_scheduler.{place}.end"] = number
        begin = one.get("begin") or 0
        if begin >= number and not one.get("by_epoch", True):
            raise UserError(
                f"iters={text} ends before param_scheduler.{place} begins, at {begin}: lower that "
                "and the end of the one before, or train longer."
            )
    # Else the run would end without a validation or a checkpoint.
    if (cfg["train_cfg"].get("val_interval") or 0) > number:
        options["train_cfg.val_interval"] = number
    saving = (cfg.get("default_hooks") or {}).get("checkpoint") or {}
    if (saving.get("interval") or 0) > number:
        options["default_hooks.checkpoint.interval"] = number
    # A curve wants some points.
    logging = (cfg.get("default_hooks") or {}).get("logger") or {}
    if (logging.get("interval") or 0) > max(1, number // 10):
        options["default_hooks.logger.interval"] = max(1, number // 15)
    return options


def _batch(text: str, cfg: Mapping) -> dict[str, Any]:
    if (cfg.get("train_dataloader") or {}).get("batch_sampler"):
        raise UserError(f"batch={text} would do nothing: the batch_sampler says how many.")
    return {"train_dataloader.batch_size": _number("batch", text)}


def _lr(text: str, cfg: Mapping) -> dict[str, Any]:
    if "lr" not in ((cfg.get("optim_wrapper") or {}).get("optimizer") or {}):
        raise UserError(f"lr={text} would do nothing: optim_wrapper.optimizer has no lr.")
    return {"optim_wrapper.optimizer.lr": _number("lr", text, float)}


def _amp(text: str, cfg: Mapping) -> dict[str, Any]:
    from mmseg_gc.config import is_detection

    wanted = text.lower() in ("true", "1", "yes")
    if not wanted and text.lower() not in ("false", "0", "no"):
        raise UserError(f"amp={text}: give true or false.")
    is_on = _kind(cfg.get("optim_wrapper") or {}) == "AmpOptimWrapper"
    if wanted == is_on:
        state = "mixed precision" if is_on else "float32"
        raise UserError(f"amp={text} would do nothing: this config trains in {state} already.")
    if not wanted:
        mixed = (cfg.get("val_cfg") or {}).get("fp16")
        return {"optim_wrapper.type": "OptimWrapper"} | ({"val_cfg.fp16": False} if mixed else {})
    validates = cfg.get("val_cfg") and not is_detection(cfg)
    return {"optim_wrapper.type": AMP} | ({"val_cfg.fp16": True} if validates else {})


def _workers(text: str, cfg: Mapping) -> dict[str, Any]:
    number = _number("workers", text, smallest=0)
    loaders = [f"{split}_dataloader" for split in ("train", "val", "test")]
    return {f"{loader}.num_workers": number for loader in loaders if cfg.get(loader)}


def _val_interval(text: str, cfg: Mapping) -> dict[str, Any]:
    number = _number("val_interval", text)
    if not cfg.get("val_dataloader"):
        raise UserError(f"val_interval={text} would do nothing: there is no val_dataloader.")
    return {"train_cfg.val_interval": number}


def _seed_options(text: str, cfg: Mapping) -> dict[str, Any]:
    return {"randomness.seed": _number("seed", text, smallest=0)}


def _data(text: str, cfg: Mapping) -> dict[str, Any]:
    loaders = [f"{split}_dataloader" for split in ("train", "val", "test")]
    options = {}
    for loader in filter(cfg.get, loaders):
        leaves = _leaves(cfg, loader)
        if len({leaf.get("data_root") for _, leaf in leaves}) > 1:
            raise UserError(f"data={text}: {loader} has several folders; use --cfg-options.")
        for key, leaf in leaves:
            places = list((leaf.get("data_prefix") or {}).values())
            if places and all(os.path.isabs(place or "") for place in places):
                raise UserError(f"data={text} would do nothing: {key}.data_prefix is absolute.")
            options[f"{key}.data_root"] = text
    return options


SETTERS: dict[str, Callable[[str, Mapping], dict[str, Any]]] = {
    "model": _model_options,
    "crop": _crop,
    "iters": _iters,
    "batch": _batch,
    "lr": _lr,
    "amp": _amp,
    "workers": _workers,
    "val_interval": _val_interval,
    "seed": _seed_options,
    "data": _data,
}


def _number(key: str, text: str, kind: type = int, smallest: int = 1) -> Any:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = None
    fits = isinstance(value, int) or (kind is float and isinstance(value, float))
    if not fits or isinstance(value, bool) or (value <= 0 if kind is float else value < smallest):
        what = "a number above 0" if kind is float else f"a whole number from {smallest}"
        raise UserError(f"{key}={text}: give {what}.")
    return kind(value)


def _kind(part: Mapping) -> str:
    kind = part.get("type", "")
    return str(getattr(kind, "__name__", kind)).rsplit(".", 1)[-1]


def _leaves(cfg: Mapping, loader: str) -> list[tuple[str, Mapping]]:
    from mmseg_gc.config.leaf_datasets import keyed_leaf_datasets

    return list(keyed_leaf_datasets(cfg[loader]["dataset"], f"{loader}.dataset"))
