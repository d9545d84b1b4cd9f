"""Errors that are the user's to mend, and how the command-line tools print them."""

import functools
import os
import re
import sys
from collections.abc import Callable

TRACEBACK_VARIABLE = "MMSEG_GC_TRACEBACK"


class UserError(ValueError):
    """Wrong input. The message is one sentence that names the file or key and the cure."""


def user_sentence(error: BaseException) -> str | None:
    """The sentence of the `UserError` behind ``error``, or None if there is no such error.

    A `UserError` raised in a data-loader worker or while a registry builds an object comes back
    re-raised with a traceback or a class name put in front; both are taken off again.
    """
    while error is not None:
        if isinstance(error, UserError):
            text = str(error).rstrip()
            text = text.rsplit("UserError: ", 1)[-1]
            return re.sub(r"^(?:class `\w+` in \S+: )+", "", text)
        error = error.__cause__ or error.__context__
    return None


def cli(main: Callable[[], int | None]) -> Callable[[], None]:
    """Wrap a tool's ``main``: a `UserError` ends it with one line on stderr and exit status 1.

    ``MMSEG_GC_TRACEBACK=1`` in the environment shows the traceback as well. Every other error is
    a fault of the program and keeps its traceback.
    """

    @functools.wraps(main)
    def wrapped() -> None:
        try:
            sys.exit(main() or 0)
        except KeyboardInterrupt:
            print("Interrupted.", file=sys.stderr)
            sys.exit(130)
        except Exception as error:
            sentence = user_sentence(error)
            if sentence is None or os.environ.get(TRACEBACK_VARIABLE):
                raise
            print(f"Error: {sentence}", file=sys.stderr)
            sys.exit(1)

    return wrapped
