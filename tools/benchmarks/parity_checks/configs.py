"""The 16 configs of each installation, built by both packages."""

import copy
from collections.abc import Iterator
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

from parity_checks.side import Results, Side

# The reference is told its own scope: a config of ours names another, which only we translate.
TITLES = {
    "reference": "mmsegmentation's {} configs build on both sides, unchanged",
    "ours": "our {} configs build on both sides, all but default_scope unchanged",
}
# The package's own name, a second copy of what the runner takes from the model, and keys that only
# ours have: they log elsewhere, keep the best weights and say what GPUs round to.
UNREAD = (
    "default_scope",
    "data_preprocessor.",
    "track",
    "tf32",
    "default_hooks.checkpoint.save_best",
)
# The default, which ours leave out: mmengine merges a child's dict over nothing, not over None.
DEFAULTS = (("optim_wrapper.clip_grad", None),)


def configs(side: Side) -> Results:
    """Build everything of every config, and show the values of this side's own."""
    faults, values = {}, {}
    for owner, title in TITLES.items():
        paths = zoo(side.config_dirs[owner])
        title = title.format(len(paths))
        side.say(title)
        faults[title] = {path.name: _build(side, path) for path in paths}
    for path in zoo(side.config_dirs[side.name]):
        for key, value in _leaves(Config.fromfile(path).to_dict()):
            if not key.startswith(UNREAD) and (key, value) not in DEFAULTS:
                values[f"{path.name} {key}"] = repr(value)
    return {"faults": faults, "exact": {"values of the 16 configs, key by key": values}}


def zoo(folder: Path) -> list[Path]:
    """The published rows among the configs."""
    return [
        path
        for path in sorted((folder / "gcnet").glob("gcnet_r*-d8_*.py"))
        if "-gcb-" not in path.name
        and any(name in path.name for name in ("cityscapes", "ade20k", "voc12aug"))
    ]


def _build(side: Side, path: Path) -> str:
    """Build all parts of a config; the error's text, or nothing."""
    try:
        cfg = side.config(path)
        # No values: only names and arguments are asked here, and memory is saved.
        with torch.device("meta"):
            model = side.registry.MODELS.build(copy.deepcopy(cfg.model))
            tta_model = side.registry.MODELS.get(cfg.tta_model.type)
            assert tta_model is not None, cfg.tta_model.type
        for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
            side.registry.DATASETS.build(_lazy(loader.dataset))
        for transform in cfg.tta_pipeline:
            side.registry.TRANSFORMS.build(transform)
        side.registry.METRICS.build(cfg.test_evaluator)
        optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
        for schedule in cfg.param_scheduler:
            side.registry.PARAM_SCHEDULERS.build(
                schedule, default_args=dict(optimizer=optim_wrapper)
            )
        side.registry.VISUALIZERS.build(cfg.visualizer)  # a hook asks for it
        for hook in cfg.default_hooks.values():
            side.registry.HOOKS.build(hook)
    except Exception as error:  # any failure is a finding, and the other configs go on
        return f"{type(error).__name__}: {error}"
    return ""


def _lazy(dataset: dict) -> dict:
    """``dataset`` told not to look for its files yet."""
    dataset = {**dataset, "lazy_init": True}
    if "datasets" in dataset:
        dataset["datasets"] = [_lazy(part) for part in dataset["datasets"]]
    return dataset


def _leaves(node: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from _leaves(value, f"{path}.{key}" if path else key)
    elif isinstance(node, list | tuple) and node and isinstance(node[0], dict | list | tuple):
        for index, value in enumerate(node):
            yield from _leaves(value, f"{path}.{index}")
    else:
        yield path, list(node) if isinstance(node, tuple) else node
