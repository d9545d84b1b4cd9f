"""Make a config of mmsegmentation one of this package, and let its parts agree."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config, ConfigDict

from mmseg_gc.config.check_settings import accepted_keys
from mmseg_gc.config.old.keys import backend_args
from mmseg_gc.errors import UserError
from mmseg_gc.registry import MODELS, SCOPE

FOREIGN_SCOPE = "mmseg"
# Part of every training, of detectors too, beside mmengine's own default hooks.
OWN_HOOKS = {
    "cudnn_benchmark": f"{SCOPE}.CudnnBenchmarkHook",
    "curves": f"{SCOPE}.CurvesHook",
    "label_check": f"{SCOPE}.LabelCheckHook",
    "nonfinite_loss": f"{SCOPE}.NonFiniteLossHook",
    "preemption": f"{SCOPE}.PreemptionHook",
}


def adopt_scope(cfg: Config) -> None:
    """Read mmsegmentation's scope name as this package's, wherever a config can say it."""
    if cfg.get("default_scope", FOREIGN_SCOPE) == FOREIGN_SCOPE:
        cfg.default_scope = SCOPE
    for node in dicts(cfg._cfg_dict):
        if node.get("_scope_") == FOREIGN_SCOPE:
            node["_scope_"] = SCOPE
        kind = node.get("type")
        if isinstance(kind, str) and kind.startswith(f"{FOREIGN_SCOPE}."):
            node["type"] = kind.removeprefix(f"{FOREIGN_SCOPE}.")
        if isinstance(kind, str) and kind.rpartition(".")[2].startswith("Load"):
            backend_args(node)  # early configs of 1.x have the key of 0.x


def dicts(node: Any) -> Iterator[dict]:
    """``node`` and every dict in it, at any depth."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from dicts(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from dicts(value)


def name_own_hooks(cfg: Config) -> None:
    """Let one key of a hook that every training has be set without naming its type."""
    hooks = cfg.get("default_hooks")
    for name, kind in OWN_HOOKS.items():
        hook = hooks.get(name) if isinstance(hooks, dict) else None
        if isinstance(hook, dict):
            hook.setdefault("type", kind)


def place_preprocessor(cfg: Config) -> None:
    """Let the model have the top level's ``data_preprocessor`` if it has none, as a runner does.

    Who builds a model without a runner then normalises alike.
    """
    if isinstance(cfg.get("model"), dict) and cfg.get("data_preprocessor"):
        cfg.model.setdefault("data_preprocessor", cfg.data_preprocessor)


def head_ignore_index(model: Mapping) -> int | None:
    """The label id that ``model``'s decode head leaves out of the loss; None: it leaves none."""
    head = model.get("decode_head") or {}
    head = head[-1] if isinstance(head, list | tuple) else head
    return head.get("ignore_index", 255) if isinstance(head, Mapping) else 255


def follow_ignore_index(cfg: Config) -> None:
    """Give everything that writes or skips a label the heads' ``ignore_index``.

    A padded border labelled 255 under heads that ignore 11 would be trained on as class 255. Heads
    that name none ignore what the data sets ignore; an evaluator's own is for scoring alone.

    Raises:
        UserError: the data sets and the heads name different ids.
    """
    if not isinstance(cfg.get("model"), dict):
        return
    _ignore_what_data_sets_ignore(cfg)
    ignore_index = head_ignore_index(cfg.model)
    if ignore_index is None or ignore_index == 255:
        return
    for preprocessor in (cfg.get("data_preprocessor"), cfg.model.get("data_preprocessor")):
        if isinstance(preprocessor, dict):
            preprocessor["seg_pad_val"] = ignore_index
    for name in ("train_dataloader", "val_dataloader", "test_dataloader", "tta_pipeline"):
        for node in dicts(cfg.get(name)):
            _set_ignore_index(node, ignore_index)
    for name in ("val_evaluator", "test_evaluator"):
        for node in dicts(cfg.get(name)):
            if "type" in node:
                node.setdefault("ignore_index", ignore_index)


def _ignore_what_data_sets_ignore(cfg: Config) -> None:
    found = [cfg.model.get(name) or [] for name in ("decode_head", "auxiliary_head")]
    parts = [part for head in found for part in (head if isinstance(head, list) else [head])]
    heads: list[dict] = [part for part in parts if isinstance(part, dict)]
    names = ("train_dataloader", "val_dataloader", "test_dataloader")
    # `pipeline` marks a data set: `RandomCrop` has an `ignore_index` of its own.
    given = {
        node["ignore_index"]: f"{name}.dataset"
        for name in names
        if isinstance(cfg.get(name), dict)
        for node in dicts(cfg[name].get("dataset"))
        if "pipeline" in node and node.get("ignore_index", 255) != 255 and _is_id(node)
    }
    given |= {
        head["ignore_index"]: "the heads"
        for head in heads
        if "ignore_index" in head and _is_id(head)
    }
    if len(given) > 1:
        places = " and ".join(f"{number} in {place}" for number, place in given.items())
        raise UserError(f"config key ignore_index is {places}: set one id everywhere.")
    for head in heads:
        for number in given:
            if _takes_ignore_index(head):
                head.setdefault("ignore_index", number)


def _is_id(node: dict) -> bool:
    """Whether ``ignore_index`` is a number or None; of all else the check of its class tells."""
    return isinstance(node["ignore_index"], int | None)


def _takes_ignore_index(head: dict) -> bool:
    kind = head.get("type")
    kind = MODELS.get(kind) if isinstance(kind, str) else kind
    return kind is not None and "ignore_index" in (accepted_keys(kind) or {"ignore_index"})


def _set_ignore_index(node: ConfigDict, ignore_index: int) -> None:
    kind = node.get("type", "")
    kind = kind if isinstance(kind, str) else getattr(kind, "__name__", "")
    if kind == "Pad":
        pad_val = node.get("pad_val", 0)
        image = pad_val.get("img", 0) if isinstance(pad_val, dict) else pad_val
        node["pad_val"] = dict(img=image, seg=ignore_index)
    elif kind == "RandomRotate":
        node["seg_pad_val"] = ignore_index
    elif kind == "RandomCrop" or (kind.endswith("Dataset") and "pipeline" in node):
        node["ignore_index"] = ignore_index
