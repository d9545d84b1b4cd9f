"""Draw a data set's images as the network sees them, after augmentation, with the labels on top.

Writes one file an image below --out, or all on one contact sheet with --sheet; with neither they
are shown in a window.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmseg_gc.cli.command import cli
from mmseg_gc.errors import UserError

GAP = 6  # pixels between the images of a sheet


def parse_args(arguments: Sequence[str] | None) -> argparse.Namespace:
    from mmseg_gc.arguments import CONFIG_HELP, ArgumentParser, add_config_options

    parser = ArgumentParser(
        description=__doc__,
        command="browse",
        example="mmseg_gc browse own.py --sheet sheet.png --number 12",
    )
    parser.add_argument("config", help=CONFIG_HELP)
    parser.add_argument("--split", default="train", choices=("train", "val", "test"))
    parser.add_argument("--number", type=int, default=20, help="how many images")
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        "--out", "--output-dir", type=Path, metavar="DIR", help="folder for one PNG an image"
    )
    place.add_argument("--sheet", type=Path, metavar="FILE.png", help="one file with all images")
    parser.add_argument("--alpha", type=float, default=0.5, help="weight of the labels, 0 to 1")
    parser.add_argument("--seed", type=int, default=0, help="of the augmentation")
    parser.add_argument("--not-show", action="store_true", help="no window, even without a file")
    parser.add_argument(
        "--show-interval", type=float, default=2, help="seconds that an image is shown"
    )
    add_config_options(parser, "train_dataloader.dataset.data_root=/path")
    return parser.parse_args(arguments)


def open_dataset(cfg, split: str):
    from mmseg_gc.registry import DATASETS

    dataset = (cfg.get(f"{split}_dataloader") or {}).get("dataset")
    if dataset is None:
        raise UserError(f"--split {split}: {cfg.filename} has no {split}_dataloader; name another.")
    return DATASETS.build(dataset)


def draw(sample: dict, meta: dict, alpha: float):
    """A packed sample as an image (h, w, 3), RGB, uint8, with its classes' names."""
    import numpy as np

    from mmseg_gc.visualization.displayable import displayable
    from mmseg_gc.visualization.local_visualizer import overlay, write_names

    if "inputs" not in sample or isinstance(sample["inputs"], list):
        raise UserError("The pipeline does not end in PackSegInputs with one image: add it.")
    image = displayable(sample["inputs"].numpy().transpose(1, 2, 0))
    if "gt_sem_seg" in sample["data_samples"]:
        label = sample["data_samples"].gt_sem_seg.data[0].numpy()
        if label.shape != image.shape[:2]:  # a test pipeline loads the label after `Resize`
            import cv2

            size = (label.shape[1], label.shape[0])
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        palette = np.array(meta["palette"], np.uint8).reshape(-1, 3)
        image = overlay(image, label, palette, alpha)
        write_names(image, label, meta["classes"] or ())
    return image


def contact_sheet(images: list):
    """All images in a grid that is about as wide as high: (h, w, 3), RGB, uint8."""
    import math

    import cv2
    import numpy as np

    height = min(300, max(image.shape[0] for image in images))
    width = max(math.ceil(p.shape[1] * height / p.shape[0]) for p in images)
    columns = max(1, round(math.sqrt(len(images) * height / width)))
    rows = math.ceil(len(images) / columns)
    shape = rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3
    sheet = np.full(shape, 255, np.uint8)
    for index, image in enumerate(images):
        size = max(1, round(image.shape[1] * height / image.shape[0])), height
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        top = GAP + index // columns * (height + GAP)
        left = GAP + index % columns * (width + GAP)
        sheet[top : top + height, left : left + size[0]] = image
    return sheet


def save(path: Path, image) -> None:
    import cv2

    from mmseg_gc.atomic import write_atomically

    path.parent.mkdir(parents=True, exist_ok=True)
    content = cv2.imencode(".png", image[..., ::-1])[1].tobytes()
    write_atomically(path, lambda file: file.write(content))


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    import random

    import numpy as np
    from mmengine.registry import init_default_scope
    from tqdm import tqdm

    from mmseg_gc.config import load_config
    from mmseg_gc.visualization.window import require_screen, show

    in_window = not (args.out or args.sheet or args.not_show)
    if in_window:
        require_screen("name a folder by --out, or a file by --sheet")
    cfg = load_config(args.config, args.cfg_options)
    init_default_scope(cfg.default_scope)
    random.seed(args.seed)
    np.random.seed(args.seed)
    dataset = open_dataset(cfg, args.split)
    number = min(args.number, len(dataset))
    if number < 1:
        raise UserError(f"--number is {args.number}: give one above 0.")
    # Spread over the whole split: neighbours in a video look alike.
    chosen = np.linspace(0, len(dataset) - 1, number).round().astype(int).tolist()
    images = []
    for index in tqdm(chosen, desc="drawing", unit="image", dynamic_ncols=True):
        sample = dataset[index]
        image = draw(sample, dataset.metainfo, args.alpha)
        if args.sheet:
            images.append(image)
        elif in_window:
            show(image, Path(sample["data_samples"].img_path).name, args.show_interval)
        elif args.out:
            stem = Path(sample["data_samples"].img_path).stem
            save(args.out / f"{index:06d}_{stem}.png", image)
    if args.sheet:
        save(args.sheet, contact_sheet(images))
    place = f"are in {args.sheet or args.out}" if args.sheet or args.out else "were drawn"
    print(f"{number} of {len(dataset)} images {place}")
