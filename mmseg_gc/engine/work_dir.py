"""The folder that a run writes to."""

import os
from pathlib import Path

from mmseg_gc.errors import UserError


def check_work_dir(path: str | Path, option: str = "--work-dir") -> None:
    """Make sure that ``path``, which ``option`` names, can be written before hours of work need it.

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
            f"folder {path} can't be written ({error.strerror}); mend its rights or pass another "
            f"{option}."
        ) from error
