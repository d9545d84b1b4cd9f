"""What of mmengine's log reaches a person's screen."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.logging import MMLogger

from mmseg_gc.errors import UserError


def screen_handlers() -> list[logging.StreamHandler]:
    """The handlers of the current log that write to a screen, not to a file."""
    handlers = MMLogger.get_current_instance().handlers
    return [handler for handler in handlers if type(handler) is logging.StreamHandler]


def quiet_screen() -> None:
    """Let only warnings of the current log reach the screen; its file keeps all."""
    for handler in screen_handlers():
        handler.setLevel(max(handler.level, logging.WARNING))


def is_brief(screen: str | None) -> bool:
    """Whether a config's key ``screen`` asks for a few lines, those of `ScreenHook`.

    Raises:
        UserError: it is neither brief nor full.
    """
    if screen not in (None, "full", "brief"):
        raise UserError(f"screen={screen!r}: choose 'brief', or 'full' for all of the log.")
    return screen == "brief"


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
