"""Read a config file, merge options, and make it fit to run."""

from collections.abc import Mapping
from pathlib import Path
from pprint import pformat
from typing import Any

from mmengine.config import Config

from mmseg_gc.config.adapt import (
    adopt_scope,
    follow_ignore_index,
    name_own_hooks,
    place_preprocessor,
)
from mmseg_gc.config.check import check_config
from mmseg_gc.config.find import find_config
from mmseg_gc.config.old import convert_config, is_old
from mmseg_gc.config.options import check_options, merge_options
from mmseg_gc.config.read import read_config
from mmseg_gc.environment import DETECTION_SCOPE, require_detection


class SegConfig(Config):
    """mmengine's config, whose text is laid out without yapf.

    A runner asks for the text four times before it starts; yapf takes a second for each.
    """

    @property
    def pretty_text(self) -> str:
        items = self.to_dict().items()
        return "".join(
            f"{key} = {pformat(value, width=100, sort_dicts=False)}\n" for key, value in items
        )


def load_config(
    source: str | Path | Config,
    options: Mapping[str, Any] | None = None,
    *,
    work_dir: str | Path | None = None,
    check: bool = True,
) -> Config:
    """The config in ``source`` with ``options`` merged in, checked and ready for a runner.

    ``source`` is a config object, or what `find_config` takes: a path, or the name of a config of
    this package. ``options`` are dotted keys (``model.backbone.depth``) as ``--cfg-options`` gives
    them. A config written for mmsegmentation's scope is taken as it is, and so is one of its 0.x,
    which is converted. ``work_dir`` beats the one in the file; with neither it is
    ``work_dirs/<name of the config>``.

    A variable of a base file (``crop_size``) that the file or an option sets anew, and the file
    doesn't read itself, reaches every value that the base builds from it; mmsegmentation leaves
    these as they were.

    Raises:
        UserError: the file is missing or can't be read; a key or type doesn't exist, or nothing
            reads it; a value can't be right.
    """
    options = dict(options or {})
    if isinstance(source, Config):
        source = convert_config(source) if is_old(source) else source
        cfg = SegConfig(source._to_lazy_dict(), filename=source.filename)
    else:
        path = find_config(source)
        cfg, options = read_config(path, options)
        cfg = SegConfig(cfg._to_lazy_dict(), filename=str(path))
    if options:
        check_options(options, cfg)
        merge_options(cfg, options)
    adopt_scope(cfg)
    if is_detection(cfg):
        require_detection(f"detection config {cfg.filename}")
    place_preprocessor(cfg)
    follow_ignore_index(cfg)
    name_own_hooks(cfg)
    if work_dir is not None:
        cfg.work_dir = str(work_dir)
    elif not cfg.get("work_dir"):
        cfg.work_dir = str(Path("work_dirs") / Path(cfg.filename or "config").stem)
    if check:
        check_config(cfg)
    return cfg


def is_detection(cfg: Mapping) -> bool:
    """Whether ``cfg`` is of a detector: mmdetection's names, parts and metric."""
    return cfg.get("default_scope") == DETECTION_SCOPE
