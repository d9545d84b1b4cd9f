"""Check the dicts that mmcv and mmengine take apart: layers, plugins and initial weights."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from mmseg_gc import registry as ours
from mmseg_gc.config.check_settings import accepted_keys, check_keys, look_up
from mmseg_gc.config.check_values import is_known
from mmseg_gc.config.names import did_you_mean, nearest
from mmseg_gc.errors import UserError

# Keys of layers' dicts: what a layer doesn't take, mmcv's builders may.
KEYS_OF_LAYERS = {
    "norm_cfg": {"type", "_scope_", "requires_grad"},
    "conv_cfg": {"type", "_scope_"},
    "act_cfg": {"type", "_scope_"},
    "upsample_cfg": {"type", "_scope_"},
}
LAYERS = ("BN", "SyncBN", "GN", "LN", "IN", "Conv2d", "ReLU", "GELU", "bilinear", "nearest")
DCN_KEYS = {"type", "deform_groups", "fallback_on_stride"}
PLUGIN_KEYS = {"cfg", "stages", "position"}
INIT_KEYS = {"type", "layer", "override", "_scope_"}


def check_layers(node: Mapping, path: str) -> None:
    """Check every layer, plugin and ``init_cfg`` among the values of ``node``, a part's dict.

    Raises:
        UserError: one lacks its type, or has a type or key that doesn't exist.
    """
    for key, value in node.items():
        place = f"{path}.{key}"
        if key in KEYS_OF_LAYERS and isinstance(value, Mapping):
            _check_layer(value, place, KEYS_OF_LAYERS[key])
        elif key == "dcn" and isinstance(value, Mapping):
            for name in value:
                if name not in DCN_KEYS and (near := nearest(str(name), DCN_KEYS)):
                    raise UserError(
                        f"config key {place}.{name} doesn't exist; did you mean {near!r}?"
                    )
        elif key == "plugins" and isinstance(value, list | tuple):
            for index, plugin in enumerate(value):
                _check_plugin(plugin, f"{place}.{index}")
        elif key == "init_cfg":
            for index, cfg in enumerate(value if isinstance(value, list | tuple) else [value]):
                at = f"{place}.{index}" if isinstance(value, list | tuple) else place
                if isinstance(cfg, Mapping):
                    _check_init(cfg, at)


def _check_layer(node: Mapping, path: str, of_builder: set[str]) -> None:
    kind = _type(node, path)
    if not isinstance(kind, str):
        if callable(kind):
            return
        raise UserError(f"config key {path}.type={kind!r} has to be the name of a class.")
    if not kind or kind.startswith("DCN"):
        return
    layer = look_up(kind, ours.MODELS)[0]
    if layer is None:
        raise UserError(f"config key {path}.type={kind!r} is no layer{did_you_mean(kind, LAYERS)}")
    _check_taken(node, path, layer, of_builder)
    if layer is nn.GroupNorm and "num_groups" not in node:
        raise UserError(f"config key {path} has no num_groups, which GN needs; add it.")


def _check_plugin(plugin: Any, path: str) -> None:
    if not isinstance(plugin, Mapping):
        raise UserError(f"config key {path}={plugin!r} has to be a dict.")
    check_keys(plugin, path, PLUGIN_KEYS)
    for key in ("cfg", "position"):
        if key not in plugin:
            raise UserError(f"config key {path} has no {key}; add it.")
    if isinstance(plugin["cfg"], Mapping):
        kind = _type(plugin["cfg"], f"{path}.cfg")
        layer = look_up(kind, ours.MODELS)[0]
        if layer is not None:
            _check_taken(plugin["cfg"], f"{path}.cfg", layer, {"type", "_scope_", "postfix"})


def _check_init(node: Mapping, path: str, base: Mapping | None = None) -> None:
    kind = node.get("type", (base or {}).get("type"))
    if kind is None:
        _type(node, path)
    found = look_up(kind, ours.WEIGHT_INITIALIZERS)[0]
    if found is None or not is_known(found):
        return
    known = accepted_keys(found)
    if known is not None:
        check_keys(node, path, known | INIT_KEYS | ({"name"} if base else set()))
    override = node.get("override")
    for index, part in enumerate(override if isinstance(override, list | tuple) else [override]):
        at = (
            f"{path}.override.{index}" if isinstance(override, list | tuple) else f"{path}.override"
        )
        if isinstance(part, Mapping):
            _check_init(part, at, node)
            if "name" not in part:
                raise UserError(f"config key {at} has no name, which is its part's; add it.")


def _check_taken(node: Mapping, path: str, layer: Any, others: set[str]) -> None:
    """Refuse keys that a known ``layer`` doesn't take, of those that it may say of itself."""
    known = accepted_keys(layer) if is_known(layer) else None
    if known is not None:
        check_keys(node, path, known - {"self"} | others)


def _type(node: Mapping, path: str) -> Any:
    if "type" not in node:
        raise UserError(f"config key {path} has no type, which names its class; add it.")
    return node["type"]
