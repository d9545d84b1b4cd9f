"""Configs of mmsegmentation 0.x, read as what they mean in 1.x."""

from mmseg_gc.config.old.convert import OLD_NAMES, convert_config, is_old

__all__ = ["OLD_NAMES", "convert_config", "is_old"]
