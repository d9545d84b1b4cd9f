"""The folder that a run writes to."""

import os
from pathlib import Path

from mmseg_gc.errors import UserError


def check_work_dir(path: str | Path) -> None:
    """Make sure that ``path`` can be written before hours of work depend on it.

    Raises:
        UserError: it can't be made or written.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"work dir {path} can't be written ({error.strerror}); mend its rights or pass another "
            "--work-dir."
        ) from error
