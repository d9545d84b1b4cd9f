"""What of mmengine's log reaches a person's screen."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import BufferingHandler
from pathlib import Path
from typing import TextIO

from mmengine.config import Config
from mmengine.logging import MMLogger
from tqdm import tqdm

from mmseg_gc.errors import UserError

SCREEN = "mmseg_gc.ScreenHook"  # whatever the config's scope
MOST_KEPT = 1000  # lines said before a run has its log
_kept = BufferingHandler(MOST_KEPT)


class AboveBars:
    """``below``, a screen that shows progress bars, with what is written to it above them."""

    def __init__(self, below: TextIO):
        self.below = below

    def write(self, text: str) -> None:
        tqdm.write(text, file=self.below, end="")

    def flush(self) -> None:
        self.below.flush()


def screen_handlers() -> list[logging.StreamHandler]:
    """The handlers of the current log that write to a screen, not to a file."""
    handlers = MMLogger.get_current_instance().handlers
    return [handler for handler in handlers if type(handler) is logging.StreamHandler]


def quiet_screen() -> None:
    """Let only warnings of the current log reach the screen; its file keeps all."""
    for handler in screen_handlers():
        handler.setLevel(max(handler.level, logging.WARNING))
        handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))


@contextmanager
def silent_notices() -> Iterator[None]:
    """Let only warnings reach the screen meanwhile."""
    before = [(handler, handler.level, handler.formatter) for handler in screen_handlers()]
    quiet_screen()
    try:
        yield
    finally:
        for handler, level, formatter in before:
            handler.setLevel(level)
            handler.setFormatter(formatter)


@contextmanager
def kept_for_file() -> Iterator[None]:
    """Keep what is said meanwhile, before a run has its log, for `tell_file`."""
    _kept.flush()
    logger = MMLogger.get_current_instance()
    logger.addHandler(_kept)
    try:
        yield
    finally:
        logger.removeHandler(_kept)


def tell_file(logger: logging.Logger) -> None:
    """Write what `kept_for_file` kept to the files of ``logger``, once."""
    files = [handler for handler in logger.handlers if isinstance(handler, logging.FileHandler)]
    for record in _kept.buffer:
        for handler in files:
            handler.handle(record)
    _kept.flush()


def is_brief(screen: str | None) -> bool:
    """Whether a config's key ``screen`` asks for a few lines, those of `ScreenHook`.

    Raises:
        UserError: it is neither brief nor full.
    """
    if screen not in (None, "full", "brief"):
        raise UserError(f"screen={screen!r}: choose 'brief', or 'full' for all of the log.")
    return screen == "brief"


def tell_briefly(cfg: Config, config: str | Path) -> None:
    """Let a run of ``cfg`` tell what `ScreenHook` does, unless it says ``screen="full"``.

    ``config`` is what a person calls it.
    """
    hooks = [hook for hook in cfg.get("custom_hooks") or [] if hook.get("type") != SCREEN]
    if is_brief(cfg.setdefault("screen", "brief")):
        hooks.append(dict(type=SCREEN, config=str(config)))
    cfg.custom_hooks = hooks


@contextmanager
def off_stdout() -> Iterator[None]:
    """Let the log go to stderr: stdout is for what a program was asked for."""
    before = [(handler, handler.stream) for handler in screen_handlers()]
    for handler, _ in before:
        handler.stream = sys.stderr
    try:
        yield
    finally:
        for handler, stream in before:
            handler.stream = stream
