"""Find the checkpoint to go on from."""

import re
from pathlib import Path

from mmengine.logging import MMLogger

from mmseg_gc.checkpoint import DamagedCheckpointError, read_checkpoint
from mmseg_gc.errors import UserError


def newest_checkpoint(work_dir: str | Path) -> str | None:
    """The newest whole checkpoint of ``work_dir`` that a run can go on from; None without any.

    ``last_checkpoint`` names the first to be tried; the others follow by their age. A damaged one
    is passed over with a warning that names it.

    Raises:
        UserError: there are checkpoints, and all are damaged; or one could run code.
    """
    logger = MMLogger.get_current_instance()
    candidates = _candidates(Path(work_dir))
    for path in candidates:
        try:
            checkpoint = read_checkpoint(path)
        except DamagedCheckpointError as error:
            logger.warning(f"Passed over: {error}")
            continue
        if "optimizer" in checkpoint:
            return str(path)
        logger.warning(f"Passed over: {path} has weights alone and can't be resumed from.")
    if candidates:
        raise UserError(
            f"none of the {len(candidates)} checkpoints in {work_dir} can be resumed from; remove "
            "them to begin anew, or name another one: --resume CHECKPOINT."
        )
    return None


def _candidates(work_dir: Path) -> list[Path]:
    files = [path for path in work_dir.glob("*.pth") if re.search(r"^[a-z]+_\d+\.pth$", path.name)]
    files.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
    pointer = work_dir / "last_checkpoint"
    named = pointer.read_text().strip() if pointer.is_file() else ""
    if not named:
        return files
    # The folder may have been moved since.
    last = next((p for p in (Path(named), work_dir / Path(named).name) if p.is_file()), None)
    return files if last is None else [last, *[path for path in files if path.name != last.name]]
