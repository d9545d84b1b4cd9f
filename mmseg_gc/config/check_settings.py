"""Check what mmengine reads from a config key by key, without a registry."""

import inspect
import logging
import re
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.registry import Registry

from mmseg_gc import registry as ours
from mmseg_gc.config.check_values import check_values
from mmseg_gc.config.names import did_you_mean, nearest
from mmseg_gc.errors import UserError

# Taken off a component's dict by mmengine before it is built.
KEYS_OF_BUILDERS = {
    "type",
    "_scope_",
    "priority",
    "constructor",
    "paramwise_cfg",
    "convert_to_iter_based",
}
# Read key by key, by mmengine and its optimizer constructor.
ENVIRONMENT: dict[str, set[str]] = {
    "env_cfg": {"cudnn_benchmark", "mp_cfg", "dist_cfg", "resource_limit"},
    "env_cfg.mp_cfg": {"mp_start_method", "opencv_num_threads"},
    # What mmengine's launchers take, and torch's `init_process_group`.
    "env_cfg.dist_cfg": {
        *("backend", "device_id", "group_name", "init_backend", "init_method", "pg_options"),
        *("port", "rank", "store", "timeout", "world_size"),
    },
    "auto_scale_lr": {"enable", "base_batch_size"},
    "randomness": {"seed", "diff_rank_seed", "deterministic"},
}
COMPILE_KEYS = set(inspect.signature(torch.compile).parameters) - {"model"}
TEXTS = {"load_from": str, "log_level": str | int, "resume": bool | str, "work_dir": str}
# What mmengine's ways of clipping take, and first what each needs.
CLIPPING = {
    "norm": ("max_norm", "norm_type", "error_if_nonfinite", "foreach"),
    "value": ("clip_value", "foreach"),
}
PARAMWISE_KEYS = {
    "custom_keys",
    "bias_lr_mult",
    "bias_decay_mult",
    "norm_decay_mult",
    "dwconv_decay_mult",
    "dcn_offset_lr_mult",
    "flat_decay_mult",
    "bypass_duplicate",
}
CUSTOM_KEY_KEYS = {"lr_mult", "decay_mult"}


# Dicts under these keys describe a part, and so do the items of a list there.
PARTS = {
    "model",
    "tta_model",
    "backbone",
    "neck",
    "decode_head",
    "auxiliary_head",
    "data_preprocessor",
    "loss_decode",
    "optimizer",
    "param_scheduler",
    "dataset",
    "datasets",
    "pipeline",
    "sampler",
    "visualizer",
    "vis_backends",
    "custom_hooks",
    "transforms",
    "tta_pipeline",
}
MMENGINE_HOOKS = (
    *("runtime_info", "timer", "sampler_seed", "logger", "param_scheduler", "checkpoint"),
    *("visualization", "nonfinite_loss", "preemption", "curves"),
)
# Names that a data set reads, and that are free beside: only slips are refused.
DATASET_NAMES = {
    "metainfo": {"classes", "palette", "label_map", "dataset_type", "task_name", "ignore_index"},
    "data_prefix": {"img_path", "seg_map_path", "img"},
}

# Of mmsegmentation 0.x, and what else people call them.
OLD_NAMES = {
    **dict.fromkeys(["CLASSES", "class_names", "names"], "classes"),
    **dict.fromkeys(["PALETTE", "colors", "colours"], "palette"),
    **dict.fromkeys(["ann_path", "ann_dir", "label_path", "mask_path", "seg_path"], "seg_map_path"),
    "img_dir": "img_path",
}


def look_up(kind: Any, registry: Registry) -> tuple[Any, Registry]:
    """What ``kind`` names in the config's own scope, and the registry of that scope."""
    with registry.switch_scope_and_registry(None) as scoped:
        try:
            return scoped.get(kind) if isinstance(kind, str) else kind, scoped
        except RuntimeError:  # mmengine's, for names that no registry can have
            return None, scoped


def accepted_keys(component: Any) -> set[str] | None:
    """The keyword names that ``component`` can be built with; None if it takes any.

    A constructor with ``**kwargs`` is taken to hand them to the next class in line.
    """
    owners = component.__mro__ if inspect.isclass(component) else (component,)
    names: set[str] = set()
    for owner in owners:
        init = owner.__dict__.get("__init__") if inspect.isclass(owner) else owner
        if init is None or init is object.__init__:
            continue
        try:
            parameters = list(inspect.signature(init).parameters.values())
        except (TypeError, ValueError):
            return None
        if inspect.isclass(owner):
            del parameters[:1]  # self
        names |= {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return names
    return None


def choices(kind: str, names: list[str]) -> str:
    """What to say of a ``kind`` that isn't among ``names``."""
    return did_you_mean(kind, names, f"this package has {', '.join(names)}.")


def check_keys(node: Mapping, path: str, known: set[str]) -> None:
    """Refuse keys of ``node`` that aren't ``known``.

    Raises:
        UserError: there is one.
    """
    for key in node:
        if key not in known:
            listed = f"known keys: {', '.join(sorted(known - KEYS_OF_BUILDERS))}."
            if "type" in node:
                listed += " If it comes from a base file, add _delete_=True to your own dict."
            hint = did_you_mean(key, known, listed)
            raise UserError(f"config key {path}.{key} doesn't exist{hint}")


def check_optim_wrapper(node: Mapping) -> None:
    """Check what mmengine's optimizer constructor and gradient clipping read from ``node``.

    Raises:
        UserError: a key that they don't read.
    """
    constructor = node.get("constructor")
    if isinstance(constructor, str):
        found, scoped = look_up(constructor, ours.OPTIM_WRAPPER_CONSTRUCTORS)
        if found is None:
            names = sorted({*scoped.module_dict, "DefaultOptimWrapperConstructor"})
            raise UserError(
                f"config key optim_wrapper.constructor: there is no {constructor!r} here"
                f"{choices(constructor, names)}"
            )
    if constructor not in (None, "DefaultOptimWrapperConstructor"):
        return  # its settings are its own
    path = "optim_wrapper.paramwise_cfg"
    paramwise = _dict(node, "paramwise_cfg", path)
    check_keys(paramwise, path, PARAMWISE_KEYS)
    path += ".custom_keys"
    for name in (custom := _dict(paramwise, "custom_keys", path)):
        own = _dict(custom, name, f"{path}.{name}")
        if "wd_mult" in own:  # of DNLNet, whose published weights learned without
            print_log(
                f"config key {path}.{name}.wd_mult does nothing, as in mmsegmentation; decay_mult "
                "is what sets the weight decay.",
                logger="current",
                level=logging.WARNING,
            )
        check_keys(own, f"{path}.{name}", CUSTOM_KEY_KEYS | {"wd_mult"})
    _check_clipping(_dict(node, "clip_grad", "optim_wrapper.clip_grad"))


def _check_clipping(clip_grad: Mapping) -> None:
    if not clip_grad:
        return
    path, kind = "optim_wrapper.clip_grad", clip_grad.get("type", "norm")
    if kind not in CLIPPING:
        raise UserError(f"config key {path}.type={kind!r} has to be 'norm' or 'value'.")
    if kind == "norm" and "clip_value" in clip_grad:
        raise UserError(f"config key {path}.clip_value needs {path}.type='value' beside it.")
    check_keys(clip_grad, path, {"type", *CLIPPING[kind]})
    if CLIPPING[kind][0] not in clip_grad:
        raise UserError(f"config key {path} has no {CLIPPING[kind][0]}; add it.")


def _dict(node: Mapping, key: str, path: str) -> Mapping:
    """The dict under ``key``, empty for none; its ``path`` is told when it is something else."""
    value = {} if node.get(key) is None else node[key]
    if not isinstance(value, Mapping):
        raise UserError(f"config key {path}={value!r} has to be a dict.")
    return value


def check_environment_keys(cfg: Mapping) -> None:
    """Refuse settings of the process that nothing reads, or of a wrong kind.

    Raises:
        UserError: one of them.
    """
    if isinstance(cfg.get("compile"), Mapping):
        check_keys(cfg["compile"], "compile", COMPILE_KEYS)
    for path, known in ENVIRONMENT.items():
        owner, _, key = path.rpartition(".")
        holder = (cfg.get(owner) or {}) if owner else cfg
        node = _dict(holder, key, path)
        check_keys(node, path, known)
        check_values(node, path)
    for key, kinds in TEXTS.items():
        if not (cfg.get(key) is None or isinstance(cfg[key], kinds) and cfg[key] != ""):
            words = "True, False or 'auto'" if key == "resume" else "text"
            raise UserError(f"config key {key}={cfg[key]!r} has to be {words}.")
    for key, low in (("randomness.seed", 0), ("auto_scale_lr.base_batch_size", 1)):
        owner, _, name = key.partition(".")
        value = (cfg.get(owner) or {}).get(name)
        is_count = isinstance(value, int) and not isinstance(value, bool) and value >= low
        if value is not None and not is_count:
            raise UserError(f"config key {key}={value!r} has to be a whole number from {low}.")


def is_part(path: str) -> bool:
    """Whether what stands at ``path``, also in a list there, is a part that a registry builds."""
    owner, key = _place(path)
    if owner.endswith(".custom_keys"):  # whose keys are names of parameters
        return False
    return key in PARTS or owner == "default_hooks"


def _place(path: str) -> tuple[str, str]:
    owner, _, key = re.sub(r"(\.\d+)+$", "", path).rpartition(".")
    return owner, key


def check_settings(node: Mapping, path: str) -> None:
    """Check a dict that no registry builds, or that lacks the type to be built.

    Raises:
        UserError: the type is missing, or a key or value can't be right.
    """
    owner, key = _place(path)
    if "type" not in node and is_part(path):
        hint = "; add it."
        if owner == "default_hooks" and key not in MMENGINE_HOOKS:
            hint = f", and no base has such a hook{did_you_mean(key, MMENGINE_HOOKS)}"
        raise UserError(f"config key {path} has no type, which names its class{hint}")
    if path == "train_cfg" and "type" not in node and "by_epoch" not in node:
        raise UserError("config key train_cfg has no type; set it to 'IterBasedTrainLoop'.")
    if owner == "log_processor" and key == "custom_cfg":
        _check_log_line(node, path)
    for name in node:
        known = DATASET_NAMES.get(key, ())
        near = OLD_NAMES.get(str(name)) if known else None
        if name not in known and (near := near or nearest(str(name), known)) is not None:
            raise UserError(f"config key {path}.{name} doesn't exist; did you mean {near!r}?")
    if path == "default_hooks":
        for name, hook in node.items():
            _check_hook(name, hook)
    check_values(node, path)


def _check_log_line(node: Mapping, path: str) -> None:
    for key in ("data_src", "method_name"):
        if key not in node:
            raise UserError(f"config key {path} has no {key}; add it.")
    if node["method_name"] in ("mean", "min", "max", "current"):
        check_keys(node, path, {"data_src", "log_name", "method_name", "window_size"})


def _check_hook(name: str, hook: Any) -> None:
    if hook is not None and not isinstance(hook, Mapping):
        raise UserError(f"config key default_hooks.{name}={hook!r} has to be a dict or None.")
    near = nearest(name, MMENGINE_HOOKS)
    if near and not re.match(rf"({'|'.join(MMENGINE_HOOKS)})($|_|\d)", name):
        raise UserError(f"config key default_hooks.{name} is no hook; did you mean {near!r}?")
