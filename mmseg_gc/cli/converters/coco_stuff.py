"""What the converters of both COCO-Stuffs share: the classes' ids, and how labels are written."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mmseg_gc.cli.converters.common import (
    Tally,
    place_all,
    read_image,
    require_image,
    run,
    strangers,
    summarise,
    write_labels,
)
from mmseg_gc.cli.converters.sources import Member, Task
from mmseg_gc.errors import UserError

# Of the owner's ids 1 to 182, those that no image has.
UNUSED = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91)
IDS = [number for number in range(1, 183) if number not in UNUSED]
TAIL = "_labelTrainIds.png"


def table_10k() -> dict[int, int]:
    """The owner's ids to ours, which count from 1; 0 is unlabelled."""
    return {0: 0, **{old: new for new, old in enumerate(IDS, 1)}}


def table_164k() -> dict[int, int]:
    """The owner's ids, there one less, to ours, which count from 0; 255 is unlabelled."""
    return {255: 255, **{old - 1: new for new, old in enumerate(IDS)}}


def read_mat(member: Member) -> np.ndarray:
    """The matrix S (h, w) of a MATLAB file.

    Raises:
        UserError: it has none of ids.
    """
    from scipy.io import loadmat

    try:
        matrix = loadmat(io.BytesIO(member.read()), variable_names=["S"])["S"]
        ids = np.ascontiguousarray(matrix, np.uint8)
        if ids.ndim != 2 or not ids.size or (ids != matrix).any():
            raise ValueError("S is no matrix of ids")
    except UserError:
        raise
    except Exception as error:  # scipy raises what its parsers happen to raise
        raise UserError(
            f"{member} is no file of COCO-Stuff's ({error!r:.80}): get it again."
        ) from None
    return ids


def convert(task: Task) -> bool:
    """Write a label with ids of ours."""
    is_mat = task.member.name.endswith(".mat")
    ids = read_mat(task.member) if is_mat else np.asarray(read_image(task.member, ("L", "P")))
    new_ids = table_10k() if is_mat else table_164k()
    if wrong := strangers(ids, new_ids):
        raise UserError(f"{task.member} has the ids {wrong}, which COCO-Stuff does not have.")
    table = np.zeros(256, np.uint8)
    table[list(new_ids)] = list(new_ids.values())
    return write_labels(task.target, table[ids])


def check(task: Task) -> bool:
    """Check that the image ``target`` is as large as the label ``member``."""
    label = read_image(task.member, ("L",))
    require_image(task.target, label.size[::-1], task.member)
    return True


def finish(
    images: Mapping[str, Member],
    labels: Mapping[str, Member],
    root: Path,
    num_expected: int | None,
    nproc: int,
    dry_run: bool,
) -> None:
    """Place ``images`` and write ``labels``, both by split and stem, as in ``val2017/7``.

    Raises:
        UserError: an image lacks its label, the whole set has another size, or a file failed.
    """
    if lonely := sorted(images.keys() ^ labels.keys()):
        kind = "annotation" if lonely[0] in images else "image"
        raise UserError(f"{lonely[0]} has no {kind} ({len(lonely)} such): get them all.")
    if num_expected not in (None, len(images)):
        raise UserError(
            f"There are {len(images)} images instead of {num_expected}: download the data set "
            "again, or pass --allow-partial."
        )
    places = {f"images/{name}.jpg": member for name, member in images.items()}
    tallies: list[Tally] = place_all(places, root, nproc, dry_run)
    tasks = [Task(one, root / "annotations" / f"{name}{TAIL}") for name, one in labels.items()]
    tallies.append(run("labels converted", convert, tasks, nproc, dry_run))
    if not dry_run and not tallies[-1].failures:
        pairs = [
            Task(Member.at(root / "annotations" / f"{name}{TAIL}"), root / f"images/{name}.jpg")
            for name in images
        ]
        tallies.append(run("pairs checked", check, pairs, nproc))
    summarise(tallies, dry_run, root)


def root_of(sources: Sequence[Path], out_dir: Path | None, default: str) -> Path:
    """The data_root to fill: a source folder itself unless another is named."""
    folders = [path for path in sources if path.is_dir()]
    return out_dir or (folders[0] if folders else Path(default))
