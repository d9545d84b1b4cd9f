"""GCNet semantic segmentation in the mmsegmentation style."""

__version__ = "0.1.0"
