"""Draw how often each class was labelled as which other, from the maps of tools/test.py --out.

Writes confusion_matrix.png, whose rows are the true classes in percent, and confusion_matrix.csv
with the pixels themselves.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmseg_gc.cli.command import cli
from mmseg_gc.errors import UserError


def parse_args(arguments: Sequence[str] | None) -> argparse.Namespace:
    from mmseg_gc.arguments import CONFIG_HELP, ArgumentParser, add_config_options

    parser = ArgumentParser(
        description=__doc__,
        example="python tools/test.py own.py runs/first/iter_2000.pth --out maps\n"
        "  python tools/analysis_tools/confusion_matrix.py own.py maps figures",
    )
    parser.add_argument("config", help=CONFIG_HELP)
    parser.add_argument("prediction_path", type=Path, help="folder with the label maps")
    parser.add_argument("save_dir", type=Path, help="folder for the matrix")
    parser.add_argument("--show", action="store_true", help="show it in a window as well")
    parser.add_argument("--color-theme", default="winter", help="a colour map of matplotlib")
    parser.add_argument("--title", default="Normalized Confusion Matrix", help="stands above it")
    add_config_options(parser, "test_dataloader.dataset.data_root=/path")
    return parser.parse_args(arguments)


def count(dataset, folder: Path):
    """Pixels by true class (rows) and labelled class: int64 (C, C).

    Raises:
        UserError: a map is missing, of another size, or has a number of no class.
    """
    import torch
    from tqdm import tqdm

    from mmseg_gc.datasets.transforms import LoadAnnotations
    from mmseg_gc.evaluation.confusion import ConfusionMatrix
    from mmseg_gc.evaluation.label_files import result_names

    matrix = ConfusionMatrix(len(dataset.metainfo["classes"]), dataset.ignore_index)
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    names = result_names([info["img_path"] for info in infos])
    load = LoadAnnotations()
    for info, name in zip(tqdm(infos, unit="image", dynamic_ncols=True), names, strict=True):
        predicted = read_map(folder / f"{name}.png", {**dataset.metainfo, **info})
        true = load({**info, "seg_fields": []})["gt_seg_map"]
        if true.shape != predicted.shape:
            raise UserError(f"{folder / name}.png is of another size than {info['seg_map_path']}.")
        matrix.add(torch.from_numpy(predicted), torch.from_numpy(true), info["seg_map_path"])
    return matrix.counts()


def read_map(path: Path, meta: dict):
    """Ids of classes, int64 (h, w), of a file with the numbers that ``meta`` tells of."""
    import numpy as np

    from mmseg_gc.datasets.transforms.decoding import read_image
    from mmseg_gc.evaluation.label_files import label_file_ids

    numbers = read_image(str(path), "unchanged", "pillow", None)
    if numbers.ndim != 2:
        raise UserError(f"{path} has colours instead of ids; take the maps of test.py --out.")
    ids = label_file_ids(meta)[: len(meta["classes"])]
    table = np.full(int(max(numbers.max(), ids.max())) + 1, -1)
    table[ids] = np.arange(len(ids))
    labels = table[numbers]
    if labels.min() < 0:
        raise UserError(f"{path} has {numbers[labels < 0][0]}, which stands for no class.")
    return labels


def draw(counts, classes: Sequence[str], args: argparse.Namespace) -> None:
    import matplotlib.pyplot as plt
    import numpy as np

    from mmseg_gc.config import did_you_mean

    if args.color_theme not in plt.colormaps():
        hint = did_you_mean(args.color_theme, plt.colormaps(), "matplotlib lists them.")
        raise UserError(f"--color-theme {args.color_theme} is none{hint}")
    share = 100 * counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    side = max(4, 0.4 * len(classes) + 2)
    figure, axes = plt.subplots(figsize=(side + 1, side), layout="constrained")
    figure.colorbar(axes.imshow(share, cmap=args.color_theme, vmin=0, vmax=100), label="%")
    places = np.arange(len(classes))
    axes.set_xticks(places, classes, rotation=45, ha="right")
    axes.set_yticks(places, classes)
    axes.set(title=args.title, xlabel="labelled as", ylabel="true class")
    if len(classes) <= 30:  # else the numbers would run into each other
        for row, column in np.ndindex(share.shape):
            text = f"{share[row, column]:.0f}"
            axes.text(column, row, text, ha="center", va="center", color="w", fontsize=7)
    figure.savefig(args.save_dir / "confusion_matrix.png", dpi=150)
    if args.show:
        plt.show()
    plt.close(figure)


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    import matplotlib
    from mmengine.registry import init_default_scope

    from mmseg_gc.apis.predict_files import put_table
    from mmseg_gc.config import load_config
    from mmseg_gc.engine.work_dir import check_work_dir
    from mmseg_gc.registry import DATASETS
    from mmseg_gc.visualization.window import require_screen

    if args.show:
        require_screen("leave --show out")
    else:
        matplotlib.use("Agg")
    if not args.prediction_path.is_dir():
        raise UserError(f"{args.prediction_path} is no folder; name the one of test.py --out.")
    cfg = load_config(args.config, args.cfg_options)
    init_default_scope(cfg.default_scope)
    check_work_dir(args.save_dir, "save_dir")
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    classes = dataset.metainfo["classes"]
    counts = count(dataset, args.prediction_path).numpy()
    args.save_dir.mkdir(parents=True, exist_ok=True)
    draw(counts, classes, args)
    rows = [
        {"true class": name, **dict(zip(classes, row, strict=True))}
        for name, row in zip(classes, counts.tolist(), strict=True)
    ]
    put_table(rows, args.save_dir / "confusion_matrix.csv")
    print(f"The matrix of {len(dataset)} images is {args.save_dir}/confusion_matrix.png.")


if __name__ == "__main__":
    main()
