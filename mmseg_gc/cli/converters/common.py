"""What the converters share: resumable parallel work, files written whole, the closing table."""

import argparse
import contextlib
import filecmp
import io
import itertools
import os
import shutil
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from prettytable import PrettyTable
from tqdm import tqdm

from mmseg_gc.arguments import ArgumentParser
from mmseg_gc.cli.converters.sources import Member, Task, stream
from mmseg_gc.errors import UserError
from mmseg_gc.processes import process_pool

# Label maps are long runs of one id: unfiltered rows are as small as filtered ones, and several
# times as fast to write and to read again in training.
LABEL_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 3]
LABEL_PNG += [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT]
if hasattr(cv2, "IMWRITE_PNG_FILTER"):  # OpenCV 4.12 or later
    LABEL_PNG += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE]


# What the sets are made of, and what their files may turn out to be; others run programs.
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")


@dataclass
class Tally:
    """What became of the files of one step."""

    step: str
    done: int = 0
    skipped: int = 0
    failures: list[str] = field(default_factory=list)


def argument_parser(name: str, description: str, many: bool = False) -> ArgumentParser:
    """The arguments that all converters take; ``many`` allows several sources."""
    parser = ArgumentParser(description=description, command=f"convert {name}")
    parser.add_argument(
        "source", type=Path, nargs="+" if many else None, help="folder or archive as downloaded"
    )
    parser.add_argument(
        "-o", "--out-dir", type=Path, help="the data_root to fill (default: a source folder itself)"
    )
    # mmsegmentation's: it unpacks archives there, which here are read as they are.
    parser.add_argument("--tmp-dir", help=argparse.SUPPRESS)
    parser.add_argument("--nproc", type=int, default=os.cpu_count(), help="number of processes")
    parser.add_argument("--dry-run", action="store_true", help="only list what would be written")
    return parser


@contextlib.contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """A temporary path that becomes ``target`` at the end: no half file ever bears its name."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        yield partial
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def place(task: Task) -> bool:
    """Put a member at its target, linked where that works; returns whether it was not there yet."""
    member, target = task.member, task.target
    if target.is_file() and target.stat().st_size == member.size and _holds(target, member):
        return False
    with written_whole(target) as partial:
        if member.entry:
            partial.write_bytes(member.read())
        else:
            source = os.path.realpath(member.source)  # a link to a link may lead nowhere
            try:
                os.link(source, partial)
            except OSError:
                shutil.copyfile(source, partial)
        if partial.stat().st_size != member.size:
            raise UserError(f"{member} changed while it was read: run the same command again.")
    return True


def _holds(target: Path, member: Member) -> bool:
    """Whether the file ``target``, of the member's size, has its content as well."""
    if member.crc is not None:
        return zlib.crc32(target.read_bytes()) == member.crc
    if member.entry:
        return target.read_bytes() == member.read()
    return target.samefile(member.source) or filecmp.cmp(target, member.source, shallow=False)


def write_lines(target: Path, lines: Iterable[str], tally: Tally, dry_run: bool) -> None:
    """Write a text file unless it says the same already."""
    content = "".join(f"{line}\n" for line in lines).encode()
    if target.is_file() and target.read_bytes() == content:
        tally.skipped += 1
        return
    tally.done += 1
    if dry_run:
        print(f"would write {target}")
        return
    try:
        with written_whole(target) as partial:
            partial.write_bytes(content)
    except OSError as error:
        raise UserError(
            f"{target} can't be written ({error}): name another place with -o."
        ) from None


@contextlib.contextmanager
def _opened(member: Member) -> Iterator[Image.Image]:
    """An image whose pixels may still have to be read; what is wrong with it ends in one sentence.

    A PNG's checksums are compared here, which Pillow leaves out when it reads the pixels.
    """
    try:
        content = member.read()
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        if image.format == "PNG":
            image.verify()
            image = Image.open(io.BytesIO(content), formats=FORMATS)
        yield image
    except UserError:
        raise
    except Exception as error:  # decoders raise what they happen to raise
        reason = " ".join(str(error).split()).replace(" <_io.BytesIO object>", "")
        raise UserError(
            f"{member} is no readable image ({reason or type(error).__name__}): get it again."
        ) from None


def read_image(member: Member, modes: tuple[str, ...]) -> Image.Image:
    """A whole image in one of Pillow's ``modes``.

    Raises:
        UserError: if it can't be read or has another mode.
    """
    with _opened(member) as image:
        if image.mode not in modes:
            raise UserError(
                f"{member} has mode {image.mode}, which should be {' or '.join(modes)}."
            )
        image.load()
    return image


def require_image(path: Path, shape: tuple[int, int], label: Member) -> None:
    """Check that the image at ``path`` is (H, W) pixels, as its label, and is read to its end.

    Raises:
        UserError: if it isn't, or can't.
    """
    with _opened(Member.at(path)) as image:
        width, height = image.size
        if shape != (height, width):
            size = f"{shape[1]}x{shape[0]}"
            raise UserError(f"{label} is {size}, its image {width}x{height}: get both again.")
        # Of a JPEG all is read, but an eighth of its pixels are computed.
        image.draft(image.mode, (1, 1))
        image.load()


def write_labels(target: Path, labels: np.ndarray, palette: list[int] | None = None) -> bool:
    """Write ids (H, W) uint8 as a PNG, with a palette if given, and read it back.

    Returns whether that was to do: not where the target holds these ids.
    """
    if target.is_file():
        with contextlib.suppress(UserError):
            if np.array_equal(np.asarray(read_image(Member.at(target), ("L", "P"))), labels):
                return False
    with written_whole(target) as partial:
        if palette:
            image = Image.fromarray(labels)
            image.putpalette(palette)
            image.save(partial, "PNG")
        else:
            partial.write_bytes(cv2.imencode(".png", labels, LABEL_PNG)[1].tobytes())
        if not np.array_equal(np.asarray(Image.open(partial)), labels):
            raise UserError(f"{target} does not read back as it was written: check the disk.")
    return True


def is_finished(task: Task, shape: tuple[int, int], ids: Iterable[int]) -> bool:
    """Whether the target is a whole image of that shape and ids, no older than its source."""
    target = task.target
    if not target.is_file():
        return False
    source = task.member.source.stat()
    # A corrected file may have kept an old time; that at which it was put there tells.
    if target.stat().st_mtime < max(source.st_mtime, source.st_ctime):
        return False
    try:
        labels = np.asarray(read_image(Member.at(target), ("L", "P")))
    except UserError:
        return False
    return labels.shape == shape and not strangers(labels, ids)


def check_pair(task: Task, ids: Iterable[int]) -> bool:
    """Check that the label ``member`` and the image ``target`` can be read and fit together.

    Raises:
        UserError: if they don't, or an id is none of ``ids``.
    """
    labels = np.asarray(read_image(task.member, ("L", "P")))
    if wrong := strangers(labels, ids):
        raise UserError(f"{task.member} has the ids {wrong}, which this data set does not have.")
    require_image(task.target, labels.shape, task.member)
    return True


def strangers(labels: np.ndarray, ids: Iterable[int]) -> list[int]:
    """The ids in ``labels`` (uint8) that are none of ``ids``."""
    counts = cv2.calcHist([labels], [0], None, [256], [0, 256]).ravel()
    counts[list(ids)] = 0
    return np.flatnonzero(counts).tolist()


def run(
    step: str, work: Callable[[Task], bool], tasks: Sequence[Task], nproc: int,
    dry_run: bool = False,
) -> Tally:  # fmt: skip
    """Do ``work`` on every task in parallel; it returns whether there was something to do.

    A `UserError` counts the task as failed and the others go on.

    Raises:
        UserError: if the disk or a worker process gives up.
    """
    tally = Tally(step)
    if dry_run:
        for task in tasks:
            if task.target.exists():
                tally.skipped += 1
            else:
                tally.done += 1
                print(f"would write {task.target}")
        return tally
    _sweep({task.target.parent for task in tasks})
    pending: set[Future] = set()
    queue, nproc = stream(tasks), max(1, nproc)
    pool = process_pool(nproc) if nproc > 1 else _ThisProcess()
    try:
        with tqdm(total=len(tasks), desc=step, unit="file") as bar:
            while True:
                fresh = itertools.islice(queue, 4 * nproc - len(pending))
                pending |= {pool.submit(work, task) for task in fresh}
                if not pending:
                    break
                finished, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in finished:
                    bar.update()
                    try:
                        if future.result():
                            tally.done += 1
                        else:
                            tally.skipped += 1
                    except UserError as error:
                        tally.failures.append(str(error))
    except BrokenProcessPool:
        raise UserError(
            f"{step}: a process was killed; run again with a smaller --nproc."
        ) from None
    except OSError as error:
        raise UserError(f"{step} stopped at {error}; mend that and run the same again.") from error
    finally:
        pool.shutdown(cancel_futures=True)
    return tally


class _ThisProcess:
    """A pool for those who want one process."""

    def submit(self, work: Callable[[Task], bool], task: Task) -> Future:
        future: Future[bool] = Future()
        try:
            future.set_result(work(task))
        except Exception as error:
            future.set_exception(error)
        return future

    def shutdown(self, cancel_futures: bool) -> None:
        pass


def _sweep(folders: Iterable[Path]) -> None:
    """Remove the temporary files of processes that were killed."""
    for folder in folders:
        for path in folder.glob(".*.part"):
            with contextlib.suppress(ValueError, PermissionError):
                try:
                    os.kill(int(path.suffixes[-2][1:]), 0)
                except ProcessLookupError:
                    path.unlink(missing_ok=True)


def place_all(members: dict[str, Member], root: Path, nproc: int, dry_run: bool) -> list[Tally]:
    """Bring the members to their paths under ``root``, and report it unless all lie there.

    Raises:
        UserError: if a member can't be read.
    """
    tasks = [Task(member, root / name) for name, member in members.items()]
    tasks = [task for task in tasks if not task.is_in_place()]
    tallies = [run("files placed", place, tasks, nproc, dry_run)] if tasks else []
    if tallies and tallies[0].failures:
        summarise(tallies, dry_run, root)
    return tallies


def summarise(tallies: list[Tally], dry_run: bool, root: Path) -> None:
    """Print the closing table.

    Raises:
        UserError: if anything failed.
    """
    table = PrettyTable(["step", "to do" if dry_run else "done", "skipped", "failed"])
    table.align = "r"
    table.align["step"] = "l"
    for tally in tallies:
        table.add_row([tally.step, tally.done, tally.skipped, len(tally.failures)])
    print(table)
    failures = [failure for tally in tallies for failure in tally.failures]
    print(*failures[1:20], sep="\n", end="\n" if failures[1:] else "", file=sys.stderr)
    if failures:
        raise UserError(
            f"{len(failures)} of the files failed, the first because {failures[0].rstrip('.')}; "
            "the others are kept: mend this and run the same again."
        )
    if not dry_run:
        print(f"{root} is ready.")
