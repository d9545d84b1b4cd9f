"""Modules between a backbone and its heads."""

from mmseg_gc.models.necks.fpn import FPN
from mmseg_gc.models.necks.jpu import JPU

__all__ = ["FPN", "JPU"]
