"""The scope ``mmseg`` in mmengine's registries, for what is built without `load_config`.

A config in a notebook goes from ``Config.fromfile`` to ``Runner.from_cfg`` and names this scope.
"""

from typing import Any

from mmengine.registry import Registry

from mmseg_gc import registry
from mmseg_gc.aliases.finder import THEIRS
from mmseg_gc.registry import SegRegistry


class ScopeAlias(SegRegistry):
    """A registry of scope ``mmseg`` that finds and registers in ``own``."""

    def __init__(self, own: Registry) -> None:
        super().__init__(own.name, parent=own.parent, scope=THEIRS, locations=["mmseg_gc.models"])
        self.own = own

    def get(self, key: str) -> Any:
        return self.own.get(key.removeprefix(f"{THEIRS}."))

    def register_module(self, *args: Any, **kwargs: Any) -> Any:
        # `*args` and `**kwargs` are mmengine's.
        return self.own.register_module(*args, **kwargs)


def add_scope() -> None:
    """Give mmengine's root registries a child of that scope for each registry here, once."""
    for own in list(vars(registry).values()):
        if isinstance(own, SegRegistry) and THEIRS not in own.parent.children:
            ScopeAlias(own)
