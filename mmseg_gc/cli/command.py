"""How a command ends: with one line where the user's input or the disk is at fault."""

import functools
import os
import sys
from collections.abc import Callable

from mmseg_gc.environment import check_environment
from mmseg_gc.errors import TRACEBACK_VARIABLE, user_sentence


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
