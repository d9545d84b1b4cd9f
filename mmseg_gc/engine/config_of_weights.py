"""What weights were trained with, where a config that they are loaded for says something else."""

import ast
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mmengine.logging import print_log

LONGEST = 1 << 20  # characters of a config that is read; a large one of mmsegmentation has 20,000

# Keys that change what a network makes of the same weights, with nothing to be seen of it in them.
PIXELS = {"mean", "std", "bgr_to_rgb", "rgb_to_bgr"}
NETWORK = {
    "align_corners",
    "strides",
    "dilations",
    "dilation",
    "contract_dilation",
    "multi_grid",
    "style",
    "in_index",
    "pooling_type",
    "temperature",
    "use_scale",
}
UNKNOWN = object()
Path = tuple[str | int, ...]


def tell_other_config(model: Mapping, meta: Mapping) -> None:
    """Warn of keys of ``model``, a config's, that differ from those in a checkpoint's ``meta``.

    ``meta`` holds the text of a config as ``cfg`` (mmengine) or ``config`` (mmcv), which is read
    as literals and never run. What is in one of the two alone is not compared.
    """
    stored = _stored_model(meta)
    own, theirs = dict(_settings(model)), dict(_settings(stored))
    differing = [path for path in own if path in theirs and own[path] != theirs[path]]
    if not differing:
        return
    told = "; ".join(
        f"{'.'.join(map(str, ('model', *path)))}={own[path]!r}, where they had {theirs[path]!r}"
        for path in differing
    )
    print_log(
        f"The weights were trained with another config, which they can't show otherwise: {told}. "
        "Test with what they were trained with, or figures and maps are of another network.",
        logger="current",
        level=logging.WARNING,
    )


def _settings(model: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Paths and values of the keys above in ``model``, and of what its parts hold."""
    if isinstance(model, Mapping):
        for key, value in model.items():
            is_pixel = key in PIXELS and path[-1:] == ("data_preprocessor",)
            if is_pixel or key in NETWORK:
                yield (*path, key), _plain(value)
            elif key not in ("train_cfg", "test_cfg"):
                yield from _settings(value, (*path, key))
    elif isinstance(model, list | tuple):
        for place, part in enumerate(model):
            yield from _settings(part, (*path, place))


def _plain(value: Any) -> Any:
    """``value`` with lists for tuples, since a dumped config has either."""
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _stored_model(meta: Mapping) -> dict:
    """The ``model`` of the config's text in ``meta``; an empty one if there is none to be read."""
    text = meta.get("cfg") or meta.get("config")
    if not isinstance(text, str) or len(text) > LONGEST:
        return {}
    try:
        lines = ast.parse(text).body
        named = {
            line.targets[0].id: _literal(line.value)
            for line in lines
            if isinstance(line, ast.Assign)
            and isinstance(line.targets[0], ast.Name)
            and line.targets[0].id in ("model", "data_preprocessor", "img_norm_cfg")
        }
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # no text of a config
        return {}
    model = named.get("model")
    if not isinstance(model, dict):
        return {}
    # The parts of 0.x: pixels are normalised by the pipelines.
    old = named.get("img_norm_cfg")
    pixels = named.get("data_preprocessor")
    if isinstance(old, dict):
        renamed = {"to_rgb": "bgr_to_rgb"}
        pixels = {renamed.get(key, key): value for key, value in old.items()}
    return {"data_preprocessor": pixels, **model}


def _literal(node: ast.expr) -> Any:
    """The value that ``node`` writes out; `UNKNOWN` for what would have to be run."""
    named: Iterable[tuple[Any, ast.expr]]
    match node:
        case ast.Constant():
            return node.value
        case ast.List() | ast.Tuple():
            values = [_literal(one) for one in node.elts]
            return UNKNOWN if UNKNOWN in values else values
        case ast.Dict():
            names = (getattr(key, "value", None) for key in node.keys)
            named = zip(names, node.values, strict=True)
        case ast.Call(func=ast.Name(id="dict"), args=[]):
            named = ((word.arg, word.value) for word in node.keywords)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
        case _:
            return UNKNOWN
    pairs = ((key, _literal(value)) for key, value in named)
    return {key: value for key, value in pairs if value is not UNKNOWN}
