"""Encoders: what the files here register."""

from typing import TYPE_CHECKING, Any

from mmseg_gc.registry import registered_in

_registered = registered_in(__name__, __path__)
globals().update(_registered)

__all__ = sorted(_registered)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
