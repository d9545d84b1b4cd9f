"""Label images by MMSegInferencer, with the published weights of a model that is named."""

import argparse
from collections.abc import Sequence

from mmseg_gc.cli.command import cli
from mmseg_gc.errors import UserError


def parse_args(arguments: Sequence[str] | None) -> argparse.Namespace:
    from mmseg_gc.arguments import CONFIG_HELP, ArgumentParser

    parser = ArgumentParser(
        description=__doc__,
        example="python demo/image_demo_with_inferencer.py street.jpg "
        "gcnet_r50-d8_4xb2-40k_cityscapes-512x1024 --out-dir labelled",
    )
    parser.add_argument("img", help="image, folder of images, or a pattern")
    parser.add_argument("model", help=CONFIG_HELP)
    parser.add_argument(
        "--checkpoint", help="weights: a path or an http(s) address; default: the published ones"
    )
    parser.add_argument("--out-dir", default="", help="gets vis/ (drawn) and pred/ (label maps)")
    parser.add_argument("--show", action="store_true", help="show the drawing in a window")
    parser.add_argument(
        "--dataset-name", help="data set whose names and colours are taken; default: the model's"
    )
    parser.add_argument("--device", help="such as cpu or cuda:0; default: a GPU if there is one")
    parser.add_argument("--opacity", type=float, default=0.5, help="of the labels, 0 to 1")
    parser.add_argument("--with-labels", action="store_true", help="write the classes' names")
    parser.add_argument("--batch-size", type=int, default=1, help="images of one size at once")
    return parser.parse_args(arguments)


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    from mmseg_gc.aliases.utilities import get_classes, get_palette
    from mmseg_gc.apis import MMSegInferencer
    from mmseg_gc.visualization.window import require_screen

    if not args.show and not args.out_dir:
        raise UserError("nothing would remain of the labels: name --out-dir, or --show them.")
    if args.show:
        require_screen("name a folder by --out-dir")
    names = {}
    if args.dataset_name:
        names = dict(classes=get_classes(args.dataset_name), palette=get_palette(args.dataset_name))
    inferencer = MMSegInferencer(
        args.model, args.checkpoint, device=args.device, batch_size=args.batch_size, **names
    )
    inferencer(
        args.img,
        show=args.show,
        out_dir=args.out_dir,
        opacity=args.opacity,
        with_labels=args.with_labels,
    )
    if args.out_dir:
        print(f"Label maps are in {args.out_dir}/pred, drawn images in {args.out_dir}/vis.")


if __name__ == "__main__":
    main()
