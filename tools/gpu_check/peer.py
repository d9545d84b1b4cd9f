"""Find mmsegmentation in another python's environment."""

import subprocess
from pathlib import Path

from side_by_side import check_peer

from mmseg_gc.errors import UserError


def ask_for_peer(python: str) -> Path:
    """``python`` from the root, once it has imported mmsegmentation.

    Raises: UserError if there is no such interpreter, or it can't.
    """
    path = check_peer(Path(python))
    try:
        answer = subprocess.run(
            [path, "-c", "import mmseg"], capture_output=True, text=True, timeout=120
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"--peer {python} can't be started ({error}): name a python.") from error
    if answer.returncode:
        reason = (answer.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UserError(
            f"--peer {python} has no usable mmsegmentation ({reason}): run "
            "tools/benchmarks/setup_peer.sh."
        )
    return path
