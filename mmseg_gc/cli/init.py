"""Look at a folder of images and labels, and write a config for it.

DATA has images/ and labels/, or train/ and val/ of these, or each label beside its image, under
the same names. Labels hold ids, a palette, colours, or 0 and 255. A file classes.txt names them.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from mmseg_gc.arguments import ArgumentParser
from mmseg_gc.cli.command import cli
from mmseg_gc.errors import UserError

MODELS = ("r18", "r50", "r101")
MAX_SIDE = 2048  # images are made smaller than that for the network
# MiB that an image of 512 x 512 takes in training, about; batch normalisation wants four or more.
MIB_OF_IMAGE = {"r18": 500, "r50": 1200, "r101": 1800}
ITERATIONS = (200, 40000)
EPOCHS = 100


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


def config_text(about: str, values: dict) -> str:
    """The config's file."""
    return """\
# {about}
_base_ = [
    "mmseg_gc::_base_/models/gcnet_{model}-d8.py",
    "mmseg_gc::_base_/datasets/folders.py",
    "mmseg_gc::_base_/default_runtime.py",
    "mmseg_gc::_base_/schedules/schedule_20k.py",
]
img_scale = {scale}  # (width, height) that images are brought to
crop_size = ({crop}, {crop})  # (height, width) of training; as in data_preprocessor below
data = dict({data})
train_dataloader = dict(batch_size={batch}, num_workers={workers}, dataset=dict(**data, {train}))
val_dataloader = dict(num_workers={workers}, dataset=dict(**data, {val}))
test_dataloader = val_dataloader
heads = dict(num_classes={num_classes})
model = dict(
    {backbone}data_preprocessor=dict(size=({crop}, {crop})), decode_head=heads, auxiliary_head=heads
)
train_cfg = dict(max_iters={iters}, val_interval={interval})  # {epochs:.0f} epochs
param_scheduler = [
    dict(type="PolyLR", eta_min=1e-4, power=0.9, begin=0, end={iters}, by_epoch=False)
]
default_hooks = dict(checkpoint=dict(interval={interval}), logger=dict(interval={logged}))
""".format(about=about, **values)


def data_keys(root: Path, splits: dict, labels, classes: Sequence[str]) -> str:
    suffixes = sorted({p.suffix for s in splits.values() for p in s.images.values()})
    tails = sorted({tail for split in splits.values() for tail in split.label_tails})
    keys = [f"data_root={str(root)!r}", f"img_suffix={tuple(suffixes)!r}"]
    if tails != [".png"]:
        keys.append(f"seg_map_suffix={tuple(tails)!r}")
    palette = f", palette={labels.palette}" if labels.palette else ""
    keys.append(f"metainfo=dict(classes={list(classes)}{palette})")
    if labels.label_map:
        keys.append(f"label_map={labels.label_map}")
    if labels.reduce_zero_label:
        keys.append("reduce_zero_label=True")
    return ", ".join(keys)


def split_keys(root: Path, split, list_file: Path | None) -> str:
    images, labels = (
        "" if folder == root else folder.relative_to(root).as_posix()
        for folder in (split.image_dir, split.label_dir)
    )
    keys = f"data_prefix=dict(img_path={images!r}, seg_map_path={labels!r})"
    if list_file:
        keys = f"ann_file={list_file.relative_to(root).as_posix()!r}, {keys}"
    return keys


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
    from mmseg_gc.cli.folder_layout import find_splits, read_labels
    from mmseg_gc.cli.split import write_splits

    root = args.data.resolve()
    splits = find_splits(root)
    lists: dict[str, Path] = {}
    num_train = len(splits["train" if "train" in splits else "all"].names)
    if "all" in splits:
        lists = {split: root / "splits" / f"{split}.txt" for split in ("train", "val")}
        if not all(path.is_file() for path in lists.values()):
            told = write_splits(root, root / "splits", val=args.val, seed=args.seed, folds=None)
            print(f"Divided: {told}")
        splits = dict.fromkeys(("train", "val"), splits["all"])
        num_train = len(lists["train"].read_text().splitlines())
    elif "val" not in splits:
        raise UserError(
            f"{args.data} has train and no val: call one folder val, or put all images into one, "
            "which is divided then."
        )
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
    backbone = "backbone=dict(depth=101), " if model == "r101" else ""
    if args.no_pretrained:
        backbone = f"pretrained=None, {backbone}"
    elif model == "r101":
        backbone = f'pretrained="open-mmlab://resnet101_v1c", {backbone}'
    text = config_text(
        about,
        dict(
            model="r50" if model == "r101" else model,
            scale=scale,
            crop=crop,
            data=data_keys(root, {k: splits[k] for k in ("train", "val")}, labels, classes),
            batch=batch,
            workers=min(4, os.cpu_count() or 1),
            train=split_keys(root, split, lists.get("train")),
            val=split_keys(root, splits["val"], lists.get("val")),
            num_classes=len(classes),
            backbone=backbone,
            iters=iters,
            interval=max(10, iters // 10),
            logged=min(50, max(1, iters // 20)),
            epochs=iters * batch / num_train,
        ),
    )
    require_loads(text)
    put(text.encode(), str(target))
    print(about)
    print(f"{target}: {model}, crops of {crop} x {crop}, {batch} at once, {iters} iterations.")
    print(f"Next:\n  mmseg_gc check {target}\n  mmseg_gc train {target}")


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
