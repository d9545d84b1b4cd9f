"""Errors that are the user's to mend, and how the command-line tools print them."""

import errno
import functools
import os
import re
import sys
from collections.abc import Callable
from importlib import metadata

# Distributions that write into one folder: ours, and those that must not stand beside it.
CLASHES = {
    "onedl-mmengine": {"mmengine", "mmengine-lite"},
    "onedl-mmcv": {"mmcv", "mmcv-lite", "mmcv-full"},
}
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
TRACEBACK_VARIABLE = "MMSEG_GC_TRACEBACK"


class UserError(ValueError):
    """Wrong input. The message is one sentence that names the file or key and the cure."""


def user_sentence(error: BaseException) -> str | None:
    """The sentence of the `UserError` or full disk behind ``error``, or None without one.

    A `UserError` raised in a data-loader worker or while a registry builds an object comes back
    re-raised with a traceback or a class name put in front; both are taken off again.
    """
    while error is not None:
        if isinstance(error, UserError):
            text = str(error).rstrip()
            text = text.rsplit("UserError: ", 1)[-1]
            return re.sub(r"^(?:class `\w+` in \S+: )+", "", text)
        if isinstance(error, OSError) and error.errno in FULL_DISK:
            where = f" for {error.filename}" if error.filename else ""
            return f"the disk is full{where} ({error.strerror}); free some of it and start again."
        error = error.__cause__ or error.__context__
    return None


def check_environment() -> None:
    """Refuse an installation that can't work, before anything heavy is imported.

    Raises:
        UserError: packages that overwrite each other are installed, or OpenCV can't start.
    """
    installed = {_canonical(d.metadata["Name"]) for d in metadata.distributions()}
    for kept, others in CLASHES.items():
        clash = sorted(others & installed)
        if kept in installed and clash:
            names = " ".join(clash)
            raise UserError(
                f"{names} is installed beside {kept} and both write the same folder: run "
                f"pip uninstall -y {names} {kept} && pip install {kept}."
            )
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"OpenCV can't start ({error}): on a server without a screen, run apt-get install "
            "libgl1 libglib2.0-0, or pip uninstall -y opencv-python && pip install "
            "opencv-python-headless."
        ) from error


def _canonical(name: str | None) -> str:
    return re.sub(r"[-_.]+", "-", name or "").lower()


def cli(main: Callable[[], int | None]) -> Callable[[], None]:
    """Wrap a tool's ``main``: a `UserError` ends it with one line on stderr and exit status 1.

    ``MMSEG_GC_TRACEBACK=1`` in the environment shows the traceback as well. Every other error is
    a fault of the program and keeps its traceback.
    """

    @functools.wraps(main)
    def wrapped() -> None:
        try:
            check_environment()
            sys.exit(main() or 0)
        except KeyboardInterrupt:
            print("Interrupted.", file=sys.stderr)
            sys.exit(130)
        except Exception as error:
            sentence = user_sentence(error)
            if sentence is None or os.environ.get(TRACEBACK_VARIABLE):
                raise
            _end_progress_bars()
            print(f"Error: {sentence}", file=sys.stderr)
            sys.exit(1)

    return wrapped


def _end_progress_bars() -> None:
    """Let what follows begin on a line of its own."""
    if "tqdm" in sys.modules:
        for bar in list(getattr(sys.modules["tqdm"].tqdm, "_instances", ())):
            bar.close()
