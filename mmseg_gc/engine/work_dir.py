"""The folder that a run writes to."""

import json
import logging
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import print_log

from mmseg_gc.atomic import put
from mmseg_gc.errors import UserError

CHECKPOINT = re.compile(r"(iter|epoch)_\d+\.pth$|best_.*_\d+\.pth$", re.DOTALL)
LOCK_NAME = ".training.lock"
OWNER_NAME = ".training.json"
SECONDS_TO_END = 20  # that the workers of a killed training may take
_held: set[Path] = set()


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


def require_new(cfg: Config) -> None:
    """Refuse to begin a training of ``cfg`` where another one has saved its checkpoints.

    ``cfg.overwrite=True`` allows it, and so does going on from one of them.

    Raises:
        UserError: there are some, which would be overwritten or taken for this run's.
    """
    if cfg.get("overwrite"):
        return
    folders = [Path(cfg.work_dir)]
    hook = (cfg.get("default_hooks") or {}).get("checkpoint") or {}
    if hook.get("out_dir"):
        folders.append(Path(hook["out_dir"], folders[0].name))  # as `CheckpointHook` has it
    source = cfg.get("load_from")
    for folder in folders:
        found = [path for path in folder.glob("*.pth") if CHECKPOINT.match(path.name)]
        goes_on = cfg.get("resume") is True and source and Path(source).parent.resolve()
        if not found or cfg.get("resume") == "auto" or goes_on == folder.resolve():
            continue
        raise UserError(
            f"{folder} has {len(found)} checkpoints of another run, such as {min(found).name}: add "
            "--resume auto to go on with it, --overwrite to write over it, or name another "
            "--work-dir."
        )


@contextmanager
def hold_work_dir(work_dir: str | Path) -> Iterator[None]:
    """Keep other trainings, of this machine or another, out of ``work_dir``; rank 0 does it.

    Within a process it can be held twice, as by a tool and by the runner that it starts. What
    holds it ends with the process, however that ends. The empty file stays: if it were removed, one
    process could hold the old file and another a new one.

    Raises:
        UserError: another training holds it; the message has its process, machine and start.
    """
    folder = Path(work_dir).resolve()
    if folder in _held or not is_main_process():
        yield
        return
    lock = FileLock(folder / LOCK_NAME)
    if not _acquire(lock, folder):
        yield
        return
    if (pointer := folder / "last_checkpoint").is_dir():
        lock.release()
        raise UserError(f"{pointer} is a folder, and a run writes a file there: take it away.")
    owner = dict(pid=os.getpid(), host=socket.gethostname(), start=time.strftime("%F %T"))
    _held.add(folder)
    try:
        put(json.dumps(owner).encode(), str(folder / OWNER_NAME))
        yield
    finally:
        _held.discard(folder)
        (folder / OWNER_NAME).unlink(missing_ok=True)
        lock.release()


def _acquire(lock: FileLock, folder: Path) -> bool:
    """Whether ``lock`` is held now; False where the file system has no locks.

    Raises:
        UserError: a training that runs holds it.
    """
    end = time.monotonic() + SECONDS_TO_END
    while True:
        try:
            lock.acquire(timeout=0)
            return True
        except Timeout as error:
            owner = _owner(folder)
            # Data loaders of a killed training hold it until they see that it's gone.
            if _is_gone(owner) and time.monotonic() < end:
                time.sleep(0.1)
                continue
            who = "{host}, process {pid}, since {start}".format_map(owner) if owner else "a process"
            raise UserError(
                f"another training ({who}) writes to {folder}: wait for its end, stop it, or name "
                "another --work-dir."
            ) from error
        except (NotImplementedError, OSError) as error:
            print_log(
                f"{folder} can't be locked ({error}): see that no other training writes to it.",
                logger="current",
                level=logging.WARNING,
            )
            return False


def _owner(folder: Path) -> dict[str, Any]:
    try:
        owner = json.loads((folder / OWNER_NAME).read_text("utf-8"))
        return {key: owner[key] for key in ("pid", "host", "start")}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _is_gone(owner: dict[str, Any]) -> bool:
    if not owner:
        return True  # it begins or ends just now
    if owner["host"] != socket.gethostname():
        return False
    try:
        os.kill(int(owner["pid"]), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError, OverflowError):
        pass
    return False
