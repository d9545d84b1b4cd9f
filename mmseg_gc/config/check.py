"""Find what is wrong in a config before the run starts: names, keys, and numbers that disagree."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from mmcv.transforms import RandomFlip
from mmengine.hooks import EMAHook
from mmengine.registry import DefaultScope, Registry
from torch.utils.data import DataLoader

from mmseg_gc import registry as ours
from mmseg_gc.config.check_data import check_data
from mmseg_gc.config.check_layers import check_layers
from mmseg_gc.config.check_settings import (
    KEYS_OF_BUILDERS,
    accepted_keys,
    check_environment_keys,
    check_keys,
    check_optim_wrapper,
    check_settings,
    choices,
    is_part,
    look_up,
)
from mmseg_gc.config.check_values import check_values
from mmseg_gc.config.leaf_datasets import leaf_datasets
from mmseg_gc.config.names import elsewhere, misspelt, type_name
from mmseg_gc.errors import UserError

# Which registry builds what stands under a key; a key that isn't named keeps its parent's.
REGISTRY_OF_KEY: dict[str, Registry | None] = {
    "model": ours.MODELS,
    "tta_model": ours.MODELS,
    "dataset": ours.DATASETS,
    "datasets": ours.DATASETS,
    "pipeline": ours.TRANSFORMS,
    "tta_pipeline": ours.TRANSFORMS,
    "transforms": ours.TRANSFORMS,
    "sampler": ours.DATA_SAMPLERS,
    "val_evaluator": ours.METRICS,
    "test_evaluator": ours.METRICS,
    "train_cfg": ours.LOOPS,
    "val_cfg": ours.LOOPS,
    "test_cfg": ours.LOOPS,
    "optim_wrapper": ours.OPTIM_WRAPPERS,
    "optimizer": ours.OPTIMIZERS,
    "param_scheduler": ours.PARAM_SCHEDULERS,
    "default_hooks": ours.HOOKS,
    "custom_hooks": ours.HOOKS,
    "visualizer": ours.VISUALIZERS,
    "vis_backends": ours.VISBACKENDS,
    "log_processor": ours.LOG_PROCESSORS,
    "anchor_generator": ours.TASK_UTILS,
    "bbox_coder": ours.TASK_UTILS,
    # Taken apart by mmcv or mmengine, key by key: they say themselves what they don't know.
    "norm_cfg": None,
    "conv_cfg": None,
    "upsample_cfg": None,
    "roi_layer": None,
    "act_cfg": None,
    "dcn": None,
    "init_cfg": None,
    "collate_fn": None,
    "batch_sampler": None,
    "worker_init_fn": None,
    "backend_args": None,
    "batch_augments": None,
}
DATALOADER_KEYS = set(inspect.signature(DataLoader).parameters) | {
    "num_batch_per_epoch",
    "disable_subprocess_warning",
}
ROI_HEADS = ("bbox_head", "mask_head")
FLIPS = ("horizontal", "vertical", "diagonal")
EITHER = Mapping | list | tuple
KINDS: dict[str, Any] = {
    **dict.fromkeys(
        ["model", "tta_model", "optim_wrapper", "visualizer", "log_processor"], Mapping
    ),
    **dict.fromkeys(["train_dataloader", "val_dataloader", "test_dataloader"], Mapping),
    **dict.fromkeys(["train_cfg", "val_cfg", "test_cfg", "default_hooks"], Mapping),
    **dict.fromkeys(["env_cfg", "randomness", "auto_scale_lr"], Mapping),
    **dict.fromkeys(["val_evaluator", "test_evaluator", "param_scheduler"], EITHER),
    **dict.fromkeys(["custom_hooks", "tta_pipeline"], EITHER),
}
# mmengine's, of what may come without.
DEFAULT_TYPES = {
    "optim_wrapper": {"type": "OptimWrapper"},
    "val_cfg": {"type": "ValLoop"},
    "test_cfg": {"type": "TestLoop"},
    "log_processor": {"type": "LogProcessor"},
}
STARTS = (
    "model",
    "tta_model",
    "tta_pipeline",
    "train_dataloader",
    "val_dataloader",
    "test_dataloader",
    "val_evaluator",
    "test_evaluator",
    "train_cfg",
    "val_cfg",
    "test_cfg",
    "optim_wrapper",
    "param_scheduler",
    "default_hooks",
    "custom_hooks",
    "visualizer",
    "log_processor",
)


def check_config(cfg: Mapping) -> None:
    """Check every component of ``cfg`` without building it.

    Raises:
        UserError: a type or key that doesn't exist, or a number of classes that disagrees with
            the data set's.
    """
    _check_top_level(cfg)
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope")):
        for name in STARTS:
            if cfg.get(name) is not None:
                _check_node(cfg[name], name, REGISTRY_OF_KEY.get(name))
                if name.endswith("_dataloader"):
                    _check_dataloader(cfg[name], name)
        check_optim_wrapper(cfg.get("optim_wrapper") or {})
        _check_num_classes(cfg)
        check_data(cfg)
    check_environment_keys(cfg)


def _check_top_level(cfg: Mapping) -> None:
    # Free names are fine at the top (`crop_size`); one that almost is a runner's key is a slip.
    for key in cfg:
        if (near := misspelt(key)) is not None:
            raise UserError(f"config key {key!r} doesn't exist; did you mean {near!r}?")
    for key, kinds in KINDS.items():
        if cfg.get(key) is not None and not isinstance(cfg[key], kinds):
            words = "a dict" if kinds is Mapping else "a dict or a list of dicts"
            raise UserError(f"config key {key}={cfg[key]!r} has to be {words}, or None.")


def _check_node(node: Any, path: str, registry: Registry | None) -> None:
    if isinstance(node, list | tuple):
        for index, item in enumerate(node):
            if is_part(path) and not isinstance(item, Mapping | list | tuple):
                raise UserError(f"config key {path}.{index}={item!r} has to be a dict.")
            _check_node(item, f"{path}.{index}", registry)
    elif isinstance(node, Mapping):
        if path in DEFAULT_TYPES:
            node = {**DEFAULT_TYPES[path], **node}
        if "type" in node and registry is not None:
            _check_component(node, path, registry)
        else:
            check_settings(node, path)
        for key, value in node.items():
            if key == "transforms" and type_name(node) == "Albu":
                continue  # Albumentations' own, which it checks itself
            # The keys of `default_hooks` are names that a config is free to choose.
            inner = registry if path == "default_hooks" else REGISTRY_OF_KEY.get(key, registry)
            if registry is ours.MODELS and key in ("train_cfg", "test_cfg"):
                inner = None  # the model's own settings, not a loop
            if registry is ours.MODELS and key == "sampler":
                inner = ours.TASK_UTILS  # of pixels, not of a data set
            if isinstance(value, Mapping | list | tuple):
                _check_node(value, f"{path}.{key}", inner)


def _check_dataloader(node: Mapping, path: str) -> None:
    check_keys(node, path, DATALOADER_KEYS)
    for key in ("dataset", "sampler", "batch_sampler"):
        if not isinstance(node.get(key, {}), (Mapping, type(None))):
            raise UserError(f"config key {path}.{key}={node[key]!r} has to be a dict.")
    if node.get("dataset") is None:
        raise UserError(f"config key {path} has no dataset; add it.")


def _check_component(node: Mapping, path: str, registry: Registry) -> None:
    kind = node["type"]
    if not kind or not isinstance(kind, str) and not callable(kind):
        raise UserError(f"config key {path}.type={kind!r} has to be the name of a class.")
    component, scoped = look_up(kind, registry)
    if component is None:
        if registry is ours.MODELS and (why := elsewhere(kind)):
            raise UserError(f"config key {path}.type: {why}")
        raise UserError(
            f"config key {path}.type: there is no {registry.name} {kind!r} here"
            f"{choices(kind, sorted(scoped.module_dict))}"
        )
    accepted = accepted_keys(component)
    if component is EMAHook:  # which hands what it doesn't know to the average
        average = look_up(node.get("ema_type", "ExponentialMovingAverage"), ours.MODELS)[0]
        of_average = accepted_keys(average)
        accepted = of_average and of_average | _keywords(EMAHook)
    if accepted is not None:
        check_keys(node, path, accepted | KEYS_OF_BUILDERS)
    check_values(node, path, component)
    check_layers(node, path)
    if component.__module__.startswith("mmseg_gc.") and node.get("pipeline") == []:
        raise UserError(f"config key {path}.pipeline=[] makes no samples; end it in PackSegInputs.")
    if getattr(component, "__name__", "") == "RandomGrayscale" and not node.get("keep_channels"):
        raise UserError(
            f"config key {path}: RandomGrayscale gives images of one channel among others of "
            "three; set keep_channels=True."
        )
    if component is RandomFlip:
        chosen = node.get("direction", FLIPS[0])
        for one in chosen if isinstance(chosen, list | tuple) else [chosen]:
            if one not in FLIPS:
                raise UserError(
                    f"config key {path}.direction={chosen!r} has to be of {', '.join(FLIPS)}."
                )


def _keywords(cls: type) -> set[str]:
    return set(inspect.signature(cls).parameters)


def _check_num_classes(cfg: Mapping) -> None:
    model = cfg.get("model") or {}
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        dataset = (cfg.get(loader) or {}).get("dataset") or {}
        for leaf in leaf_datasets(dataset):
            classes = _class_names(leaf)
            for name, head in _heads(model):
                count = head.get("num_classes") if isinstance(head, Mapping) else None
                if classes and count is not None and count != len(classes):
                    raise UserError(
                        f"config key model.{name}.num_classes is {count}, but "
                        f"{loader}.dataset ({leaf.get('type')}) has {len(classes)} classes; "
                        "make them equal."
                    )


def _heads(model: Mapping) -> Iterator[tuple[str, Mapping]]:
    """The heads of a segmentor or a two-stage detector, by their keys."""
    for owner, names in (("", ("decode_head", "auxiliary_head")), ("roi_head.", ROI_HEADS)):
        for name in names:
            heads = (model.get("roi_head") or {} if owner else model).get(name) or []
            for head in heads if isinstance(heads, list | tuple) else [heads]:
                yield f"{owner}{name}", head


def _class_names(dataset: Mapping) -> list[str] | None:
    metainfo = dataset.get("metainfo") or {}
    if isinstance(metainfo, Mapping) and metainfo.get("classes"):
        return list(metainfo["classes"])
    cls, _ = look_up(dataset.get("type"), ours.DATASETS)
    return list(getattr(cls, "METAINFO", {}).get("classes") or []) or None
