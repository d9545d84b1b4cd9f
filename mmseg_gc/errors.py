"""Errors that are the user's to mend."""

import errno
import os
import re

FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
TRACEBACK_VARIABLE = "MMSEG_GC_TRACEBACK"


class UserError(ValueError):
    """Wrong input. The message is one sentence that names the file or key and the cure."""


def user_sentence(error: BaseException) -> str | None:
    """The sentence of the `UserError`, full disk or taken port behind ``error``, or None.

    A `UserError` raised in a data-loader worker or while a registry builds an object comes back
    re-raised with a traceback or a class name put in front; both are taken off again.
    """
    cause: BaseException | None = error
    while cause is not None:
        error = cause
        if isinstance(error, UserError):
            text = str(error).rstrip()
            text = text.rsplit("UserError: ", 1)[-1]
            return re.sub(r"^(?:class `\w+` in \S+: )+", "", text)
        if type(error).__name__ == "DistNetworkError" and "EADDRINUSE" in str(error):
            port = os.environ.get("MASTER_PORT", "29500")
            return (
                f"port {port} is taken; set MASTER_PORT, or PORT of tools/dist_*.sh, to a free one."
            )
        if isinstance(error, OSError) and error.errno in FULL_DISK:
            where = f" for {error.filename}" if error.filename else ""
            return f"the disk is full{where} ({error.strerror}); free some of it and start again."
        cause = error.__cause__ or error.__context__
    return None
