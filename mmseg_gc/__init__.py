"""GCNet semantic segmentation in the mmsegmentation style."""

from mmseg_gc.aliases.finder import install
from mmseg_gc.version import __version__

__all__ = ["__version__"]

install()
