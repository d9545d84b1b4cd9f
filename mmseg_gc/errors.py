"""Errors that are the user's to mend."""

import errno
import re

FULL_DISK = (errno.ENOSPC, errno.EDQUOT)


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
