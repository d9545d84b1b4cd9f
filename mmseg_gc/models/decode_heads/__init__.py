"""Heads that turn feature maps into logits.

What the files here register are names of this package too: a new head is a matter of its own file.
"""

from typing import TYPE_CHECKING, Any

from mmseg_gc.models.decode_heads.cascade_decode_head import BaseCascadeDecodeHead, Cascade
from mmseg_gc.models.decode_heads.decode_head import BaseDecodeHead, upcast
from mmseg_gc.registry import registered_in

_registered = registered_in(__name__, __path__)
globals().update(_registered)

__all__ = ["BaseCascadeDecodeHead", "BaseDecodeHead", "Cascade", "upcast"]
__all__ += sorted(_registered)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
