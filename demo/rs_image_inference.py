"""Label one large image, such as an aerial one, window by window, in its own resolution.

Logits are averaged where windows overlap. The label map is a PNG or TIFF with the numbers of the
label files, as by `mmseg_gc predict`, and without a georeference.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmseg_gc.cli.command import cli
from mmseg_gc.errors import UserError

LOSSLESS = (".png", ".tif", ".tiff")


def parse_args(arguments: Sequence[str] | None) -> argparse.Namespace:
    from mmseg_gc.arguments import CONFIG_HELP, ArgumentParser

    parser = ArgumentParser(
        description=__doc__,
        example="python demo/rs_image_inference.py tile.tif own.py runs/first/iter_2000.pth "
        "--window-size 512 512 --stride 384 384",
    )
    parser.add_argument("image", help="image file")
    parser.add_argument("config", help=CONFIG_HELP)
    parser.add_argument("checkpoint", help="weights: a path or an http(s) address")
    parser.add_argument("--output-path", default="result.png", help="the label map")
    for name, text in (("window-size", "of a window"), ("stride", "from one to the next")):
        parser.add_argument(
            f"--{name}",
            nargs=2,
            type=int,
            default=(224, 224),
            metavar=("X", "Y"),
            help=f"pixels {text}; default: 224 224",
        )
    for name in ("batch-size", "thread"):
        told = "taken, and without effect: as many windows go together as the GPU has room for"
        parser.add_argument(f"--{name}", type=int, default=1, help=told)
    parser.add_argument("--device", help="such as cpu or cuda:0; default: a GPU if there is one")
    return parser.parse_args(arguments)


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    from mmseg_gc.apis import inference_model, init_model
    from mmseg_gc.apis.devices import chosen_device
    from mmseg_gc.config import load_config
    from mmseg_gc.config.leaf_datasets import leaf_datasets
    from mmseg_gc.config.names import type_name
    from mmseg_gc.evaluation.label_files import label_file_ids

    target = Path(args.output_path)
    if target.suffix.lower() not in LOSSLESS:
        raise UserError(f"{target}: ids need a file without loss; name it .png or .tif.")
    if min(*args.window_size, *args.stride) < 1:
        raise UserError("--window-size and --stride are pixels; give 1 or more.")
    windows = dict(mode="slide", crop_size=args.window_size[::-1], stride=args.stride[::-1])
    options = {f"model.test_cfg.{key}": value for key, value in windows.items()}
    cfg = load_config(args.config, options)
    for dataset in leaf_datasets(cfg.test_dataloader.dataset):
        dataset.pipeline = [step for step in dataset.pipeline if type_name(step) != "Resize"]
    model = init_model(cfg, args.checkpoint, device=chosen_device(args.device))
    labels = inference_model(model, args.image).pred_sem_seg.data[0].cpu().numpy()
    write(label_file_ids(model.dataset_meta)[labels], target)
    print(f"The label map is {target}.")


def write(ids, target: Path) -> None:
    import cv2

    from mmseg_gc.atomic import write_atomically

    target.parent.mkdir(parents=True, exist_ok=True)
    content = cv2.imencode(target.suffix, ids)[1].tobytes()
    write_atomically(target, lambda file: file.write(content))


if __name__ == "__main__":
    main()
