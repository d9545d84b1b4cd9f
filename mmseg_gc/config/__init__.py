"""Config files: reading, options, checks."""

from mmseg_gc.config.adapt import OWN_HOOKS, head_ignore_index
from mmseg_gc.config.check import check_config
from mmseg_gc.config.check_settings import accepted_keys
from mmseg_gc.config.find import config_folder, find_config
from mmseg_gc.config.load import SegConfig, is_detection, load_config
from mmseg_gc.config.names import did_you_mean

__all__ = [
    "OWN_HOOKS",
    "SegConfig",
    "accepted_keys",
    "check_config",
    "config_folder",
    "did_you_mean",
    "find_config",
    "head_ignore_index",
    "is_detection",
    "load_config",
]
