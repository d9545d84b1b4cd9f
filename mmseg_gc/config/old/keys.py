"""What the converters of 0.x share: taking keys, and naming those that have no counterpart."""

from collections.abc import Mapping
from typing import Any

from mmseg_gc.errors import UserError

Node = dict[str, Any]


def node_of(old: Mapping, name: str) -> Node:
    """A copy of the dict under ``name``, empty for none.

    Raises:
        UserError: it is something else.
    """
    value = old.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UserError(f"config key {name}={value!r} of mmsegmentation 0.x has to be a dict.")
    return dict(value)


def refuse_rest(node: Mapping, path: str, cure: str) -> None:
    """Refuse what no converter took of ``node``.

    Raises:
        UserError: there is something.
    """
    for key, value in node.items():
        raise UserError(
            f"config key {path}.{key}={value!r} of mmsegmentation 0.x has no counterpart here: "
            f"{cure}."
        )


def backend_args(node: Node) -> Node:
    """``node`` with 0.x's ``file_client_args`` as ``backend_args``; the disk needs none."""
    args = node.pop("file_client_args", None)
    if args and args.get("backend", "disk") != "disk":
        node["backend_args"] = dict(args)
    return node


def is_scale(value: Any) -> bool:
    """Whether ``value`` is one size, (w, h), and no list of them."""
    is_pair = isinstance(value, list | tuple) and len(value) == 2
    return is_pair and all(isinstance(number, int | float) for number in value)
