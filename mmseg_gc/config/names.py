"""The names at the top of a config: those that are read, and what is read in place of others."""

import difflib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from mmengine.runner import Runner

# Read by mmengine's runner off its config, beside its own parameters, or by this package.
RUNNER_KEYS = frozenset(inspect.signature(Runner).parameters) - {"cfg"} | {
    "accelerate",
    "activation_checkpointing",
    "compile",
    "custom_imports",
    "default_scope",
    "efficient_conv_bn_eval",
    "find_unused_parameters",
    "model_wrapper_cfg",
    "runner_type",
    "runtime",
    "overwrite",
    "screen",
    "static_graph",
    "strict_load",
    "sync_bn",
    "tf32",
    "track",
    "tta_model",
    "tta_pipeline",
}
# What a model builds from; beside a model that has its own it is only a variable.
DATA_PREPROCESSOR = "data_preprocessor"
KEYS = RUNNER_KEYS - {DATA_PREPROCESSOR}

# Variables of mmsegmentation's base files, and the keys that they are for.
VARIABLES = {
    "crop_size": "crop_size of RandomCrop in train_dataloader.dataset.pipeline",
    "data_preprocessor": "model.data_preprocessor",
    "data_root": "train_dataloader.dataset.data_root (and val_, test_)",
    "dataset_type": "train_dataloader.dataset.type (and val_, test_)",
    "img_ratios": "tta_pipeline",
    "img_scale": "scale of Resize in the dataset.pipeline of a dataloader",
    "norm_cfg": "model.backbone.norm_cfg (and decode_head, auxiliary_head)",
    "optimizer": "optim_wrapper.optimizer",
    "test_pipeline": "test_dataloader.dataset.pipeline (and val_)",
    "train_pipeline": "train_dataloader.dataset.pipeline",
    "val_pipeline": "val_dataloader.dataset.pipeline",
    "vis_backends": "visualizer.vis_backends",
}
# Keys of mmsegmentation 0.x, which 1.x reads elsewhere.
OLD_KEYS = {
    "checkpoint_config": "default_hooks.checkpoint",
    "data": "train_dataloader, val_dataloader and test_dataloader (batch_size, dataset, …)",
    "dist_params": "env_cfg.dist_cfg",
    "evaluation": "train_cfg.val_interval, val_evaluator and default_hooks.checkpoint.save_best",
    "fp16": 'optim_wrapper.type="AmpOptimWrapper", or --amp',
    "gpu_ids": "--gpus N",
    "img_norm_cfg": "mean and std of model.data_preprocessor",
    "log_config": "default_hooks.logger.interval and visualizer.vis_backends",
    "lr_config": "param_scheduler",
    "max_iters": "train_cfg.max_iters",
    "momentum_config": "param_scheduler",
    "optimizer_config": "optim_wrapper (clip_grad, accumulative_counts)",
    "resume_from": "load_from with resume=True, or --resume CHECKPOINT",
    "runner": "train_cfg (type, max_iters)",
    "seed": "randomness.seed",
    "total_epochs": "train_cfg.max_epochs",
    "total_iters": "train_cfg.max_iters",
    "workers_per_gpu": "train_dataloader.num_workers",
    "samples_per_gpu": "train_dataloader.batch_size",
    "workflow": "train_cfg.val_interval",
}
READ_INSTEAD = VARIABLES | OLD_KEYS
# Of these, the names that no file of 1.x has for a variable of its own, and the contents of `data`.
NEVER_VARIABLES = OLD_KEYS.keys() - {"data", "fp16", "img_norm_cfg", "max_iters", "runner", "seed"}
OLD_DATA = {"samples_per_gpu", "workers_per_gpu", "train", "val", "test"}

# Of mmsegmentation, and not here: what needs mmcv's compiled operators, and other networks.
COMPILED = ("CCHead", "PSAHead")
OTHER_NETWORKS = {
    *("BEiT", "BiSeNetV1", "BiSeNetV2", "CGNet", "DDRNet", "ERFNet", "FastSCNN", "HRNet", "ICNet"),
    *("MAE", "MSCAN", "MixVisionTransformer", "MobileNetV3", "PCPVT", "PIDNet"),
    *("STDCContextPathNet", "STDCNet", "SVT", "SwinTransformer", "TIMMBackbone", "UNet"),
    *("VPD", "VisionTransformer", "Feature2Pyramid", "ICNeck", "MLANeck", "MultiLevelNeck"),
    *("DDRHead", "DPTHead", "IterativeDecodeHead", "LRASPPHead", "LightHamHead", "PIDHead"),
    *("Mask2FormerHead", "MaskFormerHead", "SETRMLAHead", "SETRUPHead", "STDCHead"),
    *("SegformerHead", "SegmenterMaskTransformerHead", "SideAdapterCLIPHead", "VPDDepthHead"),
    *("DepthEstimator", "MultimodalEncoderDecoder"),
}
PEER = "onedl-mmsegmentation"


def elsewhere(kind: object) -> str | None:
    """Why a class that mmsegmentation has is none of this package; None for all others."""
    if kind in COMPILED:
        return f"{kind} needs compiled operators, which this package does without; {PEER} has it."
    if kind in OTHER_NETWORKS:
        kept = "ResNet, ResNeXt, ResNeSt and MobileNetV2"
        return f"{kind} is no part of this package, which keeps to {kept}; {PEER} has it."
    return None


def did_you_mean(name: str, choices: Iterable[str], otherwise: str = "", number: int = 1) -> str:
    """``; did you mean 'x'?`` with the nearest of ``choices``; if none is near, ``otherwise``.

    Without an ``otherwise`` it is all of them. At most ``number`` are offered.
    """
    choices = list(choices)
    near = difflib.get_close_matches(name, choices, n=number, cutoff=0.7)
    if near:
        return f"; did you mean {' or '.join(map(repr, near))}?"
    known = f"known: {', '.join(choices)}." if choices else "this package has nothing of the kind."
    return f"; {otherwise or known}"


def type_name(node: Mapping) -> str:
    """The bare name of the class that ``node`` asks for: a pure-Python config holds it itself."""
    kind = node.get("type", "")
    return kind.rsplit(".", 1)[-1] if isinstance(kind, str) else getattr(kind, "__name__", "")


def is_read(name: str, cfg: Mapping) -> bool:
    """Whether the model takes ``name`` from the top, for want of its own."""
    return name == DATA_PREPROCESSOR and DATA_PREPROCESSOR not in (cfg.get("model") or {})


def misspelt(name: str) -> str | None:
    """The key that ``name`` almost is; None if it is one, or near none."""
    if name in RUNNER_KEYS or name in READ_INSTEAD:
        return None
    return nearest(name, RUNNER_KEYS)


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """The one of ``choices`` that ``name`` is a slip for: letters swapped, or few others."""
    swapped = [choice for choice in choices if sorted(choice) == sorted(name)]
    near = swapped or difflib.get_close_matches(name, choices, n=1, cutoff=0.85)
    return near[0] if near else None


def places(value: Any, cfg: dict, limit: int = 4) -> list[str]:
    """Dotted keys below those that are read at which ``cfg`` has an equal ``value``."""
    found = [
        path
        for key, node in cfg.items()
        if key in KEYS
        for path, there in walk(node, key)
        if type(there) is type(value) and there == value
    ]
    return [*found[:limit], "…"] if len(found) > limit else found


def walk(node: Any, path: str) -> Iterable[tuple[str, Any]]:
    yield path, node
    if isinstance(node, dict):
        for key, value in node.items():
            yield from walk(value, f"{path}.{key}")
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from walk(value, f"{path}.{index}")
