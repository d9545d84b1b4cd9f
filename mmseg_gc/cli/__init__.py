"""What command lines have in common."""

from mmseg_gc.cli.command import cli

__all__ = ["cli"]
