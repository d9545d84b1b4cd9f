"""Config files: reading, options, checks."""

from mmseg_gc.config.adapt import OWN_HOOKS, head_ignore_index
from mmseg_gc.config.check import check_config
from mmseg_gc.config.load import SegConfig, is_detection, load_config
from mmseg_gc.config.read import config_folder

__all__ = [
    "OWN_HOOKS",
    "SegConfig",
    "check_config",
    "config_folder",
    "head_ignore_index",
    "is_detection",
    "load_config",
]
