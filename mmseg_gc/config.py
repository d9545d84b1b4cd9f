"""Read a config file, accept mmsegmentation's scope, merge options, and make it fit to run."""

import difflib
import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from pprint import pformat
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.config.lazy import LazyAttr, LazyObject
from mmengine.runner import Runner

from mmseg_gc.config_check import check_config
from mmseg_gc.detection import DETECTION_SCOPE, require_detection
from mmseg_gc.errors import UserError
from mmseg_gc.registry import DATASETS, MODELS, SCOPE, TRANSFORMS

FOREIGN_SCOPE = "mmseg"
# Part of every training, of detectors too, beside mmengine's own default hooks.
OWN_HOOKS = {
    "cudnn_benchmark": f"{SCOPE}.CudnnBenchmarkHook",
    "label_check": f"{SCOPE}.LabelCheckHook",
    "nonfinite_loss": f"{SCOPE}.NonFiniteLossHook",
    "preemption": f"{SCOPE}.PreemptionHook",
}
RUNNER_KEYS = frozenset(inspect.signature(Runner).parameters) | {
    "default_scope",
    "runner_type",
    "static_graph",
    "tf32",
    "track",
    "tta_model",
    "tta_pipeline",
}


class SegConfig(Config):
    """mmengine's config, whose text is laid out without yapf.

    A runner asks for the text four times before it starts; yapf takes a second for each.
    """

    @property
    def pretty_text(self) -> str:
        items = self.to_dict().items()
        return "".join(
            f"{key} = {pformat(value, width=100, sort_dicts=False)}\n" for key, value in items
        )


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
        cfg = SegConfig(source._to_lazy_dict(), filename=source.filename)
    else:
        cfg = _read(Path(source))
    if options:
        _merge(cfg, options)
    _adopt_scope(cfg)
    if is_detection(cfg):
        require_detection(f"detection config {cfg.filename}")
    _place_preprocessor(cfg)
    _follow_ignore_index(cfg)
    _name_own_hooks(cfg)
    if work_dir is not None:
        cfg.work_dir = str(work_dir)
    elif not cfg.get("work_dir"):
        cfg.work_dir = str(Path("work_dirs") / Path(cfg.filename or "config").stem)
    if check:
        check_config(cfg)
    return cfg


def is_detection(cfg: Mapping) -> bool:
    """Whether ``cfg`` is of a detector: mmdetection's names, parts and metric."""
    return cfg.get("default_scope") == DETECTION_SCOPE


def _read(path: Path) -> Config:
    if not path.is_file():
        near = difflib.get_close_matches(path.name, _names_beside(path), n=1)
        hint = f"; did you mean {path.with_name(near[0])}?" if near else "; check the path."
        raise UserError(f"config {path} doesn't exist{hint}")
    try:
        with _own_base_files(path):
            cfg = Config.fromfile(path)
        _adopt_imports(cfg, path)
        return SegConfig(cfg._to_lazy_dict(), filename=str(path))
    except UserError:
        raise
    except Exception as error:  # a config is a program: it can fail in any way
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else ""
        raise UserError(f"config {path} can't be read: {type(error).__name__}: {reason}") from error


def config_folder() -> Path:
    """Where this package's config files are: in the wheel, or beside the source."""
    package = Path(__file__).parent
    packed = package / ".mim" / "configs"
    return packed if packed.is_dir() else package.parent / "configs"


@contextmanager
def _own_base_files(config: Path) -> Iterator[None]:
    """Find ``_base_ = "mmseg::gcnet/….py"`` among this package's configs, "mmdet::" in mmdetection.

    mmengine looks such a file up in an installed mmsegmentation, and offers no hook for it.
    """
    original = Config._get_cfg_path

    def get_cfg_path(cfg_path: str, filename: str) -> tuple[str, str | None]:
        scope, _, name = cfg_path.partition("::")
        if scope == DETECTION_SCOPE:
            # By the folder: mmengine asks for a distribution of that name, which isn't its name.
            require_detection(f"detection config {config}")
            [folder] = find_spec(DETECTION_SCOPE).submodule_search_locations
            return str(Path(folder) / ".mim" / "configs" / name), None
        if scope not in (FOREIGN_SCOPE, SCOPE):
            return original(cfg_path, filename)
        path = config_folder() / name
        if not path.is_file():
            raise UserError(
                f"{filename} builds on {cfg_path}, and {path} doesn't exist"
                f"{did_you_mean(path.name, _names_beside(path))}"
            )
        return str(path), SCOPE

    Config._get_cfg_path = staticmethod(get_cfg_path)
    try:
        yield
    finally:
        Config._get_cfg_path = staticmethod(original)


def _adopt_imports(cfg: Config, path: Path) -> None:
    """Let the imports of a pure-Python config find this package's classes.

    Such a config holds stand-ins for what it imports, which are resolved on first use.
    """
    for node in _dicts(cfg._to_lazy_dict()):
        for value in node.values():
            if not isinstance(value, LazyObject | LazyAttr):
                continue
            source = value
            while isinstance(source, LazyAttr):
                source._module = _own_module(source._module)
                source = source.source
            source._module = _own_module(source._module)
            try:
                value.build()
            except ImportError as error:
                available = sorted(
                    {*MODELS.module_dict, *DATASETS.module_dict, *TRANSFORMS.module_dict}
                )
                raise UserError(
                    f"config {path} imports {value}, which doesn't exist here"
                    f"{did_you_mean(str(value).rsplit('.', 1)[-1], available)}"
                ) from error


def _own_module(name: str) -> str:
    top, dot, rest = name.partition(".")
    return f"{SCOPE}{dot}{rest}" if top == FOREIGN_SCOPE else name


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
    if not choices:
        return "; this package has nothing of the kind."
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


def _name_own_hooks(cfg: Config) -> None:
    """Let one key of a hook that every training has be set without naming its type."""
    for name, kind in OWN_HOOKS.items():
        hook = (cfg.get("default_hooks") or {}).get(name)
        if isinstance(hook, dict):
            hook.setdefault("type", kind)


def _place_preprocessor(cfg: Config) -> None:
    """Let the model have the top level's ``data_preprocessor`` if it has none, as a runner does.

    Who builds a model without a runner then normalises alike.
    """
    if "model" in cfg and cfg.get("data_preprocessor"):
        cfg.model.setdefault("data_preprocessor", cfg.data_preprocessor)


def head_ignore_index(model: Mapping) -> int:
    """The label id that ``model``'s decode head leaves out of the loss."""
    head = model.get("decode_head") or {}
    head = head[-1] if isinstance(head, list | tuple) else head
    return head.get("ignore_index", 255)


def _follow_ignore_index(cfg: Config) -> None:
    """Give everything that writes or skips a label the heads' ``ignore_index``.

    A padded border labelled 255 under heads that ignore 11 would be trained on as class 255. Heads
    that name none ignore what the data sets ignore; an evaluator's own is for scoring alone.

    Raises:
        UserError: the data sets and the heads name different ids.
    """
    if "model" not in cfg:
        return
    _ignore_what_data_sets_ignore(cfg)
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


def _ignore_what_data_sets_ignore(cfg: Config) -> None:
    heads = [cfg.model.get(name) or [] for name in ("decode_head", "auxiliary_head")]
    heads = [part for head in heads for part in (head if isinstance(head, list) else [head])]
    loaders = ("train_dataloader", "val_dataloader", "test_dataloader")
    # `pipeline` marks a data set: `RandomCrop` has an `ignore_index` of its own.
    given = {
        node["ignore_index"]: f"{name}.dataset"
        for name in loaders
        for node in _dicts((cfg.get(name) or {}).get("dataset"))
        if "pipeline" in node and node.get("ignore_index", 255) != 255
    }
    given |= {head["ignore_index"]: "the heads" for head in heads if "ignore_index" in head}
    if len(given) > 1:
        places = " and ".join(f"{number} in {place}" for number, place in given.items())
        raise UserError(f"config key ignore_index is {places}: set one id everywhere.")
    for head in heads:
        for number in given:
            head.setdefault("ignore_index", number)


def _set_ignore_index(node: ConfigDict, ignore_index: int) -> None:
    kind = node.get("type", "")
    kind = kind if isinstance(kind, str) else kind.__name__
    if kind == "Pad":
        pad_val = node.get("pad_val", 0)
        image = pad_val.get("img", 0) if isinstance(pad_val, dict) else pad_val
        node["pad_val"] = dict(img=image, seg=ignore_index)
    elif kind == "RandomRotate":
        node["seg_pad_val"] = ignore_index
    elif kind == "RandomCrop" or (kind.endswith("Dataset") and "pipeline" in node):
        node["ignore_index"] = ignore_index
