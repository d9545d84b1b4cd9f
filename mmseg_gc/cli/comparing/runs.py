"""Train and test the configs of a comparison, but for what an earlier call has done."""

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmseg_gc.atomic import write_atomically
from mmseg_gc.cli.comparing.entries import Entry
from mmseg_gc.cli.comparing.jobs import Job, run_jobs
from mmseg_gc.cli.comparing.scoring import FILE, figures_key
from mmseg_gc.errors import UserError

POINTER = "last_checkpoint"


def train_all(entries: Sequence[Entry], *, jobs: int, overwrite: bool) -> dict[str, str]:
    """Train what isn't trained to its end, ``jobs`` at once; why the others failed, by name.

    Raises:
        UserError: a folder has the checkpoints of another config or schedule.
    """
    if overwrite:
        for entry in entries:
            shutil.rmtree(entry.work_dir, ignore_errors=True)
            entry.config.unlink(missing_ok=True)
    changed = [entry for entry in entries if _is_another(entry)]
    if changed:
        raise UserError(
            f"{changed[0].work_dir} was trained with other settings: add --overwrite to train all "
            "anew, or name another --work-dir."
        )
    waiting = []
    for entry in entries:
        write_config(entry)
        if is_finished(entry):
            say(f"{entry.name}: trained already")
            continue
        words = ["mmseg_gc", "train", str(entry.config), "--work-dir", str(entry.work_dir)]
        words += ["--resume", "--no-validate"]
        waiting.append(Job(entry.name, words, entry.work_dir / "train.txt"))
    if waiting:
        say(
            f"training {len(waiting)} configs, {jobs} at once: {', '.join(j.name for j in waiting)}"
        )
    return run_jobs(waiting, jobs, _teller("trained"))


def require_checkpoints(
    entries: Sequence[Entry], given: Sequence[Path] | None, failed: Mapping[str, str]
) -> dict[str, Path]:
    """The weights to test of each entry that hasn't ``failed``, by its name.

    Raises:
        UserError: there are none, or what is ``given`` isn't there.
    """
    if given:
        for path in given:
            if not path.is_file():
                raise UserError(f"checkpoint {path} doesn't exist; check --checkpoints.")
        for entry in entries:
            write_config(entry)
        return {entry.name: path for entry, path in zip(entries, given, strict=True)}
    found: dict[str, Path] = {}
    for entry in entries:
        if entry.name in failed:
            continue
        newest_path = newest(entry)
        if newest_path is None:
            raise UserError(
                f"{entry.work_dir} has no checkpoint to test: leave out --test-only to train it, "
                "or name another --work-dir."
            )
        found[entry.name] = newest_path
    return found


def score_all(
    entries: Sequence[Entry], checkpoints: Mapping[str, Path], precision: str
) -> dict[str, str]:
    """Test and measure ``checkpoints``, one after the other; why some failed, by name."""
    waiting = []
    for entry in entries:
        checkpoint = checkpoints.get(entry.name)
        if checkpoint is None:
            continue
        if not entry.config.is_file():
            write_config(entry)
        key = figures_key(entry.config, checkpoint, precision)
        if (figures_of(entry) or {}).get("key") == key:
            say(f"{entry.name}: tested already")
            continue
        (entry.work_dir / FILE).unlink(missing_ok=True)
        words = ["mmseg_gc.cli.comparing.scoring", str(entry.config), str(checkpoint), precision]
        words.append(str(entry.work_dir / FILE))
        waiting.append(Job(entry.name, words, entry.work_dir / "test.txt"))
    return run_jobs(waiting, 1, _teller("tested"))


def figures_of(entry: Entry) -> dict[str, Any] | None:
    """What `mmseg_gc.cli.comparing.scoring` has written of ``entry``; None without."""
    try:
        return json.loads((entry.work_dir / FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return None


def newest(entry: Entry) -> Path | None:
    """The checkpoint that a training saved last."""
    try:
        path = Path((entry.work_dir / POINTER).read_text("utf-8").strip())
    except OSError:
        return None
    path = entry.work_dir / path.name  # also where the folder was moved
    return path if path.is_file() else None


def is_finished(entry: Entry) -> bool:
    path = newest(entry)
    return path is not None and path.name == f"iter_{entry.iters}.pth"


def write_config(entry: Entry) -> None:
    """Write the whole config, as it is trained and tested."""
    text = entry.cfg.pretty_text.encode()
    write_atomically(entry.config, lambda file: file.write(text))


def _is_another(entry: Entry) -> bool:
    """Whether there is a training of other settings in the folder."""
    if newest(entry) is None or not entry.config.is_file():
        return False
    return entry.config.read_text("utf-8") != entry.cfg.pretty_text


def _teller(done: str):
    def tell(name: str, error: str | None, seconds: float) -> None:
        say(f"{name}: {done} in {seconds:.0f} s" if error is None else f"{name}: failed: {error}")

    return tell


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
