"""Trained segmentors in files for other programs, and the runtimes that stand in for a network."""

from mmseg_gc.deploy.exported_config import config_of, exported_model, run_exported, stored_meta
from mmseg_gc.deploy.exporting import ExportOptions, export_model
from mmseg_gc.deploy.runtimes import installed_runtimes, is_exported
from mmseg_gc.deploy.segmentor import ExportedSegmentor

__all__ = [
    "ExportOptions",
    "ExportedSegmentor",
    "config_of",
    "export_model",
    "exported_model",
    "installed_runtimes",
    "is_exported",
    "run_exported",
    "stored_meta",
]
