"""What weights were trained with, where a config that they are loaded for says something else."""

import ast
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.logging import print_log

from mmseg_gc.config.literals import literal

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
Path = tuple[str | int, ...]


def tell_other_config(model: Mapping, stored: Mapping) -> None:
    """Warn of keys of ``model``, a config's, that differ from those of ``stored``, the weights'.

    What is in one of the two alone is not compared.
    """
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


def stored_model(meta: Mapping) -> dict:
    """The ``model`` of the config that a checkpoint's ``meta`` holds; empty if none can be read.

    It is there as text, as ``cfg`` (mmengine) or ``config`` (mmcv), of which literals are read
    and nothing is run.
    """
    text = meta.get("cfg") or meta.get("config")
    if not isinstance(text, str) or len(text) > LONGEST:
        return {}
    try:
        lines = ast.parse(text).body
        named = {
            line.targets[0].id: literal(line.value, names_as_text=False)
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
