"""Decode a data set once and for all: a packed copy that training maps into memory.

Stopped at any moment, the same command goes on where it was; a copy bears its name only when it is
whole and has been read back. It takes 8 MB for each 2048 x 1024 image with its label.
"""

import contextlib
import itertools
import json
import os
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from tqdm import tqdm

from mmseg_gc.cli import cli
from mmseg_gc.config.leaf_datasets import keyed_leaf_datasets
from mmseg_gc.datasets.pack import INDEX, PIXELS, Pack, Record, Source, header
from mmseg_gc.errors import UserError


def parse_args():
    from mmengine.config import DictAction

    from mmseg_gc.arguments import ArgumentParser

    parser = ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config file, such as configs/gcnet/….py")
    parser.add_argument(
        "--split", default="train", help="train, val, test, or several with commas; default: train"
    )
    parser.add_argument("--out-dir", type=Path, help="default: the folder packed in data_root")
    parser.add_argument("--overwrite", action="store_true", help="replace copies that are there")
    parser.add_argument("--check", action="store_true", help="only check the copies' checksums")
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE")
    return parser.parse_args()


def loaders(dataset_cfg: dict, key: str) -> list:
    """The transforms that read an image and its label, built from the pipeline."""
    from mmseg_gc.datasets.transforms import LoadAnnotations, LoadImageFromFile
    from mmseg_gc.registry import TRANSFORMS

    steps = []
    for cfg in dataset_cfg.get("pipeline") or ():
        kind = cfg["type"] if not isinstance(cfg["type"], str) else TRANSFORMS.get(cfg["type"])
        if kind in (LoadImageFromFile, LoadAnnotations):
            steps.append(TRANSFORMS.build(cfg))
    if not any(isinstance(step, LoadImageFromFile) for step in steps):
        raise UserError(f"{key}.pipeline has no LoadImageFromFile, whose result is packed.")
    steps[0].to_float32 = False  # that comes after the pixels are read
    return sorted(steps, key=lambda step: isinstance(step, LoadAnnotations))


def read(info: dict, steps: list) -> tuple[np.ndarray, np.ndarray | None]:
    """Image and label of a sample as training reads them."""
    results = info
    for step in steps:
        results = step(results)
        if results is None:
            raise UserError(f"{info['img_path']} can't be read: replace it or take it out.")
    image = results["img"]
    if image.dtype != np.uint8:
        raise UserError(
            f"{info['img_path']} has pixels of {image.dtype}, and a packed copy holds 8 bits: "
            "train on the files themselves."
        )
    return image, results.get("gt_seg_map")


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a second run out of ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(f"{folder} is being written by another run: wait for it.") from None
    try:
        yield
    finally:
        lock.release()


def named(dataset) -> Iterator[tuple[str, list[str], dict]]:
    """Name, files and info of every sample."""
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        name = dataset.name_of(info["img_path"])
        yield name, [info[key] for key in ("img_path", "seg_map_path") if key in info], info


def keep_finished(dataset, first_line: str, folder: Path) -> int:
    """How many samples an earlier run has left whole in ``folder``; what follows is cut off."""
    index, pixels = folder / INDEX, folder / PIXELS
    pixels.touch()
    lines = (
        index.read_text().split("\n")[:-1] if index.is_file() else []
    )  # one cut short has no end
    kept: list[Record] = []
    if lines and lines[0] == first_line:
        size = pixels.stat().st_size
        for line, (name, paths, _) in zip(lines[1:], named(dataset), strict=False):
            try:
                record = Record.from_line(line, kept[-1].end if kept else 0)
            except ValueError:
                break
            same = record.name == name and len(paths) == len(record.sources)
            if not same or record.end > size:
                break
            if not all(map(Source.is_still, record.sources, paths)):
                break
            kept.append(record)
    else:
        index.write_text(first_line + "\n")
        lines = [first_line]
    os.truncate(index, sum(len(line.encode()) + 1 for line in lines[: len(kept) + 1]))
    os.truncate(pixels, kept[-1].end if kept else 0)
    return len(kept)


def write(dataset, steps: list, first_line: str, partial: Path) -> None:
    """Fill ``partial`` with every sample of ``dataset``, after those that it has already."""
    kept = keep_finished(dataset, first_line, partial)
    samples = itertools.islice(named(dataset), kept, None)
    bar = tqdm(samples, partial.name, len(dataset), initial=kept, unit="sample")
    with open(partial / PIXELS, "ab") as pixels, open(partial / INDEX, "a") as index:
        for name, paths, info in bar:
            sources = tuple(map(Source.of, paths))
            image, label = read(info, steps)
            content = image.tobytes() + (b"" if label is None else label.tobytes())
            offset = pixels.tell()
            pixels.write(content)
            pixels.flush()  # before the line that says so
            crc = zlib.crc32(content)
            record = Record(name, offset, image.shape, label is not None, crc, sources)
            index.write(json.dumps(record) + "\n")
            index.flush()
        for file in (pixels, index):
            os.fsync(file.fileno())


def pack(dataset_cfg: dict, key: str, target: Path, overwrite: bool) -> None:
    """Make the packed copy ``target`` of one data set."""
    from mmseg_gc.registry import DATASETS

    steps = loaders(dataset_cfg, key)
    dataset = DATASETS.build({**dataset_cfg, "pipeline": [], "packed": None, "lazy_init": False})
    if not dataset.is_local:
        raise UserError(f"{key} lies on a remote store: copy it to this machine, then pack it.")
    first_line = header(dataset.label_rules, steps[0].decoding)
    if target.exists() and not overwrite:
        DATASETS.build({**dataset_cfg, "packed": str(target), "lazy_init": False})
        print(f"{target} is there and up to date.")
    else:
        partial = target.with_name(f"{target.name}.partial")
        try:
            with locked(partial):
                write(dataset, steps, first_line, partial)
                check(partial)
                if target.exists():
                    shutil.rmtree(target)
                os.replace(partial, target)
                (target / "lock").unlink()
        except OSError as error:
            raise UserError(
                f"{partial} can't be written ({error.strerror or error}): make room or name "
                "another --out-dir, then run the same again."
            ) from error
    print(f"Use it by --cfg-options {key}.packed={target}")


def check(folder: Path) -> None:
    """Compare every sample with its checksum."""
    packed = Pack(folder)
    bar = tqdm(packed.damaged(), desc=f"{folder.name}: check", total=len(packed.records))
    wrong = [name for name in bar if name is not None]
    if wrong:
        raise UserError(
            f"{folder} doesn't read back as it was written, first {wrong[0]!r}: check the disk, "
            "delete that folder, and pack it again."
        )


@cli
def main() -> None:
    args = parse_args()
    from mmengine.registry import init_default_scope

    from mmseg_gc.config import load_config

    cfg = load_config(args.config, args.cfg_options)
    init_default_scope(cfg.default_scope)
    jobs = []
    for split in args.split.split(","):
        loader = cfg.get(f"{split}_dataloader")
        if loader is None:
            raise UserError(f"--split {split}: {args.config} has no {split}_dataloader.")
        found = list(keyed_leaf_datasets(loader.dataset, f"{split}_dataloader.dataset"))
        for index, (key, leaf) in enumerate(found):
            name = f"{split}.pack" if len(found) == 1 else f"{split}-{index}.pack"
            folder = args.out_dir or Path(leaf.get("data_root") or ".") / "packed"
            jobs.append((leaf, key, folder / name))
    for leaf, key, target in jobs:
        if args.check:
            check(target)
            print(f"{target} is whole.")
        else:
            pack(leaf, key, target, args.overwrite)


if __name__ == "__main__":
    main()
