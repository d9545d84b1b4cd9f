"""Options such as ``--cfg-options``: dotted keys that are merged into a config."""

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from mmseg_gc.config.names import KEYS, READ_INSTEAD, RUNNER_KEYS, did_you_mean, is_read, places
from mmseg_gc.errors import UserError


def check_options(options: Mapping[str, Any], cfg: Config) -> None:
    """Refuse ``options``, dotted keys, of names at the top that nothing reads.

    Raises:
        UserError: such a key, with the one that is read.
    """
    for key in options:
        top = key.partition(".")[0]
        if top in KEYS or is_read(top, cfg):
            continue
        cures = places(cfg[top], cfg) if top in cfg else []
        if top in READ_INSTEAD or cures:
            cure = ", ".join(cures) or READ_INSTEAD[top]
            raise UserError(f"--cfg-options {key}: nothing reads {top!r}; set {cure}.")
        hint = did_you_mean(top, sorted(set(cfg) | RUNNER_KEYS))
        if top not in cfg:
            raise UserError(f"--cfg-options {key}: no config key {top!r}{hint}")
        raise UserError(f"--cfg-options {key}: nothing reads {top!r}{hint}")


def merge_options(cfg: Config, options: Mapping[str, Any]) -> None:
    """Merge ``options``, dotted keys, into ``cfg``; a number in a key is a place in a list.

    Raises:
        UserError: one doesn't fit what is there.
    """
    for key, value in options.items():
        try:
            cfg.merge_from_dict({key: value})
        except (AttributeError, KeyError, TypeError, IndexError) as error:
            reason = str(error.args[0] if error.args else error).rstrip(".")
            raise UserError(
                f"--cfg-options {key} can't be merged into the config: {reason}; write lists "
                "whole, or items as key.0.name=value."
            ) from error
