"""Read a config file, accept mmsegmentation's scope, merge options, and make it fit to run."""

import difflib
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner

from mmseg_gc.config_check import check_config
from mmseg_gc.errors import UserError
from mmseg_gc.registry import SCOPE

FOREIGN_SCOPE = "mmseg"
RUNNER_KEYS = frozenset(inspect.signature(Runner).parameters) | {
    "default_scope",
    "runner_type",
    "tta_model",
    "tta_pipeline",
}


def load_config(
    source: str | Path | Config,
    options: Mapping[str, Any] | None = None,
    *,
    work_dir: str | Path | None = None,
    check: bool = True,
) -> Config:
    """The config in ``source`` with ``options`` merged in, checked and ready for a runner.

    ``options`` are dotted keys (``model.backbone.depth``) as ``--cfg-options`` gives them. A config
    written for mmsegmentation's scope is taken as it is. ``work_dir`` beats the one in the file;
    with neither it is ``work_dirs/<name of the config>``.

    Raises:
        UserError: the file is missing or can't be read, or a key or type doesn't exist.
    """
    if isinstance(source, Config):
        cfg = Config(source.to_dict(), filename=source.filename)
    else:
        cfg = _read(Path(source))
    if options:
        _merge(cfg, options)
    _adopt_scope(cfg)
    _follow_ignore_index(cfg)
    if work_dir is not None:
        cfg.work_dir = str(work_dir)
    elif not cfg.get("work_dir"):
        cfg.work_dir = str(Path("work_dirs") / Path(cfg.filename or "config").stem)
    if check:
        check_config(cfg)
    return cfg


def _read(path: Path) -> Config:
    if not path.is_file():
        near = difflib.get_close_matches(path.name, _names_beside(path), n=1)
        hint = f"; did you mean {path.with_name(near[0])}?" if near else "; check the path."
        raise UserError(f"config {path} doesn't exist{hint}")
    try:
        return Config.fromfile(path)
    except UserError:
        raise
    except Exception as error:  # a config is a program: it can fail in any way
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else ""
        raise UserError(f"config {path} can't be read: {type(error).__name__}: {reason}") from error


def _names_beside(path: Path) -> list[str]:
    return [p.name for p in path.parent.glob("*.py")] if path.parent.is_dir() else []


def _merge(cfg: Config, options: Mapping[str, Any]) -> None:
    for key in options:
        top = key.split(".")[0]
        if top not in cfg and top not in RUNNER_KEYS:
            known = sorted(set(cfg) | RUNNER_KEYS)
            raise UserError(f"--cfg-options {key}: no config key {top!r}{did_you_mean(top, known)}")
    try:
        cfg.merge_from_dict(dict(options))
    except (KeyError, TypeError, IndexError) as error:
        raise UserError(
            f"--cfg-options {' '.join(options)} can't be merged into the config: {error}; "
            "write lists whole, or items as key.0.name=value."
        ) from error


def did_you_mean(name: str, choices: list[str]) -> str:
    """``; did you mean 'x'?`` with the nearest of ``choices``, or all of them if none is near."""
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.7)
    return f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(choices)}."


def _adopt_scope(cfg: Config) -> None:
    """Read mmsegmentation's scope name as this package's, wherever a config can say it."""
    if cfg.get("default_scope", FOREIGN_SCOPE) == FOREIGN_SCOPE:
        cfg.default_scope = SCOPE
    for node in _dicts(cfg._cfg_dict):
        if node.get("_scope_") == FOREIGN_SCOPE:
            node["_scope_"] = SCOPE
        kind = node.get("type")
        if isinstance(kind, str) and kind.startswith(f"{FOREIGN_SCOPE}."):
            node["type"] = kind.removeprefix(f"{FOREIGN_SCOPE}.")


def _dicts(node: Any) -> Iterator[dict]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from _dicts(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _dicts(value)


def head_ignore_index(model: Mapping) -> int:
    """The label id that ``model``'s decode head leaves out of the loss."""
    head = model.get("decode_head") or {}
    head = head[-1] if isinstance(head, list | tuple) else head
    return head.get("ignore_index", 255)


def _follow_ignore_index(cfg: Config) -> None:
    """Give everything that writes or skips a label the heads' ``ignore_index``.

    A padded border labelled 255 under heads that ignore 11 would be trained on as class 255.
    """
    if "model" not in cfg:
        return
    ignore_index = head_ignore_index(cfg.model)
    if ignore_index == 255:
        return
    for preprocessor in (cfg.get("data_preprocessor"), cfg.model.get("data_preprocessor")):
        if preprocessor:
            preprocessor.seg_pad_val = ignore_index
    for name in ("train_dataloader", "val_dataloader", "test_dataloader", "tta_pipeline"):
        for node in _dicts(cfg.get(name)):
            _set_ignore_index(node, ignore_index)
    for name in ("val_evaluator", "test_evaluator"):
        for node in _dicts(cfg.get(name)):
            if "type" in node:
                node.setdefault("ignore_index", ignore_index)


def _set_ignore_index(node: ConfigDict, ignore_index: int) -> None:
    kind = str(node.get("type", ""))
    if kind == "Pad":
        pad_val = node.get("pad_val", 0)
        image = pad_val.get("img", 0) if isinstance(pad_val, dict) else pad_val
        node["pad_val"] = dict(img=image, seg=ignore_index)
    elif kind == "RandomRotate":
        node["seg_pad_val"] = ignore_index
    elif kind == "RandomCrop" or (kind.endswith("Dataset") and "pipeline" in node):
        node["ignore_index"] = ignore_index
