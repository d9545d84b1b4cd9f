"""Look at a folder of images and labels, and write a config for it.

DATA has images/ and labels/, or train/ and val/ of these, or each label beside its image, under
the same names. Labels hold ids, a palette, colours, or 0 and 255. A file classes.txt names them.
"""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmseg_gc.arguments import ArgumentParser
from mmseg_gc.cli.command import cli
from mmseg_gc.errors import UserError

if TYPE_CHECKING:
    from mmseg_gc.cli.folder_layout import Labels, Split

MODELS = ("r18", "r50", "r101")
MAX_SIDE = 2048  # images are made smaller than that for the network
# MiB that an image of 512 x 512 takes in training. What autograd keeps of one, counted by
# torch.autograd.graph.saved_tensors_hooks, is 296, 1126 and 1943 MiB; gradients and workspace add
# a sixth: mmsegmentation's table has 5.8 GB for R50 and 9.2 for R101, of four such images (VOC).
MIB_OF_IMAGE = {"r18": 350, "r50": 1300, "r101": 2200}
BASE = "mmseg_gc::gcnet/gcnet_{}-d8_1xb4-20k_folders-512x512.py"
COMMENTS = {
    "img_scale": "(width, height) that images are brought to",
    "crop_size": "(height, width) of what training sees of them",
    "max_iters": "{epochs} epochs",
    "interval": "iterations from one validation and checkpoint to the next",
}
ITERATIONS = (200, 40000)
EPOCHS = 100
LINE = 100  # characters


def parse_args(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = ArgumentParser(
        description=__doc__,
        command="init",
        example="mmseg_gc init data/mine -o mine.py --classes background crack",
    )
    parser.add_argument("data", type=Path, help="folder with images and labels")
    parser.add_argument("-o", "--out", type=Path, help="the config; default: the folder's name.py")
    parser.add_argument("--classes", nargs="+", help="their names, in the order of the ids")
    parser.add_argument("--model", choices=MODELS, help="default: what memory allows")
    parser.add_argument("--crop", type=int, help="side of the training crops, in pixels")
    parser.add_argument("--batch", type=int, help="images an iteration; default: by memory")
    parser.add_argument("--epochs", type=float, default=EPOCHS, help="rounds through the images")
    parser.add_argument("--val", type=float, default=0.2, help="share for val of a flat folder")
    parser.add_argument("--seed", type=int, default=0, help="of that division")
    parser.add_argument(
        "--no-pretrained", action="store_true", help="begin with random weights, without a network"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the config if it exists")
    return parser.parse_args(arguments)


def choose_model(gpu_mib: int | None) -> str:
    """The largest model of which four images fit in a GPU of ``gpu_mib``; None: no GPU."""
    if gpu_mib is None:
        return "r18"
    return "r50" if 4 * MIB_OF_IMAGE["r50"] < 0.8 * gpu_mib else "r18"


def choose_crop(side: int, gpu_mib: int | None) -> int:
    """A multiple of 32 no larger than ``side``, the images' shorter one, where that is possible."""
    most = 512 if gpu_mib else 256
    return max(32, min(most, side // 32 * 32))


def choose_batch(model: str, crop: int, num_images: int, gpu_mib: int | None) -> int:
    """A power of two that memory holds, 2 to 16, and no more than half of the images."""
    room = 0.7 * gpu_mib if gpu_mib else 4096
    most = min(16 if gpu_mib else 4, room / (MIB_OF_IMAGE[model] * (crop / 512) ** 2))
    batch = 2
    while 2 * batch <= min(most, num_images / 2):
        batch *= 2
    return batch


def choose_iterations(epochs: float, num_images: int, batch: int) -> int:
    """``epochs`` as iterations of ``batch`` images, to the next ten."""
    iterations = -(-round(epochs * num_images / batch) // 10) * 10
    return max(10, min(iterations, ITERATIONS[1]))


def gpu_memory() -> int | None:
    """MiB of the first GPU."""
    import torch

    if not torch.cuda.is_available():
        return None
    return torch.cuda.get_device_properties(0).total_memory >> 20


def image_size(paths: Sequence[Path]) -> tuple[int, int]:
    """The most frequent (w, h) of some of the images."""
    from collections import Counter

    from PIL import Image

    sizes: Counter[tuple[int, int]] = Counter()
    for path in paths[:: max(1, len(paths) // 100)]:
        try:
            with Image.open(path) as image:
                sizes[image.size] += 1
        except OSError as error:
            raise UserError(f"{path} is no readable image ({error}); mend it.") from error
    return sizes.most_common(1)[0][0]


def config_text(about: str, base: str, epochs: float, values: dict) -> str:
    """The config's file: its variables, in the order of ``values``; None leaves the base's."""
    lines = [f"# {about}", f"_base_ = {literal(BASE.format(base))}"]
    for name, value in values.items():
        if value is not None:
            comment = COMMENTS.get(name, "").format(epochs=round(epochs))
            line = f"{name} = {literal(value)}{comment and f'  # {comment}'}"
            if len(line) > LINE and isinstance(value, dict):
                inner = "".join(f"    {key}={literal(one)},\n" for key, one in value.items())
                line = f"{name} = dict(\n{inner})"
            lines.append(line)
    return "".join(f"{line}\n" for line in lines)


def literal(value: object) -> str:
    """``value`` as a config writes it."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return f"dict({', '.join(f'{key}={literal(one)}' for key, one in value.items())})"
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(literal, value))}{',' * (len(value) == 1)})"
    return repr(value)


def shared_keys(splits: dict[str, "Split"], labels: "Labels", classes: Sequence[str]) -> dict:
    """What the data sets of all ``splits`` have in common."""
    suffixes = sorted({p.suffix for s in splits.values() for p in s.images.values()})
    tails = sorted({tail for split in splits.values() for tail in split.label_tails})
    metainfo: dict = dict(classes=list(classes))
    if labels.palette:
        metainfo["palette"] = labels.palette
    keys: dict = dict(metainfo=metainfo, img_suffix=tuple(suffixes))
    if tails != [".png"]:
        keys["seg_map_suffix"] = tuple(tails)
    if labels.label_map:
        keys["label_map"] = labels.label_map
    if labels.reduce_zero_label:
        keys["reduce_zero_label"] = True
    return keys


def prefix(root: Path, split: "Split") -> dict[str, str]:
    images, labels = (
        "" if folder == root else folder.relative_to(root).as_posix()
        for folder in (split.image_dir, split.label_dir)
    )
    return dict(img_path=images, seg_map_path=labels)


def root_as_written(data: Path, target: Path) -> str:
    """``data`` for a config ``target``: as it is typed where both lie below the current folder.

    So a project can be moved or copied whole; what lies elsewhere is named by its whole path.
    """
    here = Path.cwd().resolve()
    root = data.resolve()
    if root.is_relative_to(here) and target.resolve().is_relative_to(here):
        return root.relative_to(here).as_posix()
    return str(root)


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    target = args.out or Path(f"{args.data.resolve().name}.py")
    if target.exists() and not args.overwrite:
        raise UserError(f"{target} is there already; add --overwrite, or name another with -o.")
    if not 0 < args.val < 1:
        raise UserError(f"--val {args.val} is no share; give one between 0 and 1, such as 0.2.")
    for name in ("crop", "batch", "epochs"):
        if getattr(args, name) is not None and getattr(args, name) <= 0:
            raise UserError(f"--{name} {getattr(args, name)} is out of range; give one above 0.")
    from mmseg_gc.atomic import put
    from mmseg_gc.cli.folder_layout import find_splits, read_labels, undivided
    from mmseg_gc.cli.split import write_splits

    root = args.data.resolve()
    splits = find_splits(root)
    lists: dict[str, Path] = {}
    whole = undivided(splits)
    if whole:
        lists = {split: root / "splits" / f"{split}.txt" for split in ("train", "val")}
        if not all(path.is_file() for path in lists.values()):
            told = write_splits(
                args.data, args.data / "splits", val=args.val, seed=args.seed, folds=None
            )
            print(f"Divided: {told}")
        splits = dict.fromkeys(("train", "val"), whole)
        num_train = len(lists["train"].read_text().splitlines())
    else:
        num_train = len(splits["train"].names)
    split = splits["train"]
    used = {one.labels[name]: None for one in (split, splits["val"]) for name in one.names}
    labels = read_labels(root, list(used), args.classes)
    classes = args.classes or labels.classes
    if len(classes) != len(labels.classes):
        raise UserError(
            f"--classes names {len(classes)}, and there are {len(labels.classes)}: {labels.about}."
        )
    width, height = image_size([split.images[name] for name in split.names])
    shrink = min(1.0, MAX_SIDE / max(width, height))
    scale = round(width * shrink), round(height * shrink)
    gpu_mib = gpu_memory()
    model = args.model or choose_model(gpu_mib)
    crop = args.crop or choose_crop(min(scale), gpu_mib)
    batch = args.batch or choose_batch(model, crop, num_train, gpu_mib)
    iters = choose_iterations(args.epochs, num_train, batch)
    about = (
        f"{num_train} images for training, mostly {width} x {height}; {labels.about}; "
        f"{len(classes)} classes."
    )
    keys = shared_keys({name: splits[name] for name in ("train", "val")}, labels, classes)
    own: dict[str, dict[str, Any]] = {name: {} for name in ("train", "val")}
    for name, path in lists.items():
        own[name]["ann_file"] = path.relative_to(root).as_posix()
    places = {name: prefix(root, splits[name]) for name in own}
    if places["train"] == places["val"]:
        keys["data_prefix"] = places["train"]
    else:
        for name, place in places.items():
            own[name]["data_prefix"] = place
    interval = max(10, iters // 10)
    workers = os.cpu_count() or 1
    text = config_text(
        about,
        "r50" if model == "r101" else model,
        iters * batch / num_train,
        dict(
            data_root=root_as_written(args.data, target),
            data=keys,
            train_data=own["train"],
            val_data=own["val"],
            num_classes=len(classes),
            img_scale=scale,
            crop_size=(crop, crop),
            batch_size=batch,
            num_workers=workers if workers < 4 else None,
            max_iters=iters,
            interval=interval,
            model=model_keys(model, args.no_pretrained),
        ),
    )
    require_loads(text)
    put(text.encode(), str(target))
    print(about)
    print(f"{target}: {model}, crops of {crop} x {crop}, {batch} at once, {iters} iterations.")
    print(f"Next:\n  mmseg_gc check {target}\n  mmseg_gc train {target}")


def model_keys(model: str, no_pretrained: bool) -> dict | None:
    """What ``model`` is besides its base."""
    keys: dict = {}
    if no_pretrained:
        keys["pretrained"] = None
    elif model == "r101":
        keys["pretrained"] = "open-mmlab://resnet101_v1c"
    if model == "r101":
        keys["backbone"] = dict(depth=101)
    return keys or None


def require_loads(text: str) -> None:
    """Read ``text`` as a config before it gets its name."""
    import tempfile

    from mmseg_gc.config import load_config
    from mmseg_gc.engine.console import quiet_screen

    quiet_screen()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "new.py"
        path.write_text(text)
        load_config(path)
