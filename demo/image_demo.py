"""Label one image and draw it; `mmseg_gc predict` takes folders, videos and streams as well."""

import argparse
from collections.abc import Sequence

from mmseg_gc.cli.command import cli


def parse_args(arguments: Sequence[str] | None) -> argparse.Namespace:
    from mmseg_gc.arguments import CONFIG_HELP, ArgumentParser

    parser = ArgumentParser(
        description=__doc__,
        example="python demo/image_demo.py street.jpg own.py runs/first/iter_2000.pth "
        "--out-file labelled.jpg",
    )
    parser.add_argument("img", help="image file")
    parser.add_argument("config", help=CONFIG_HELP)
    parser.add_argument("checkpoint", help="weights: a path or an http(s) address")
    parser.add_argument("--out-file", help="the drawing; default: it is shown in a window")
    parser.add_argument("--device", help="such as cpu or cuda:0; default: a GPU if there is one")
    parser.add_argument("--opacity", type=float, default=0.5, help="of the labels, 0 to 1")
    parser.add_argument("--with-labels", action="store_true", help="write the classes' names")
    parser.add_argument("--title", default="result", help="of the window")
    parser.add_argument("--palette", help="data set whose colours are taken; default: the model's")
    return parser.parse_args(arguments)


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    from mmseg_gc.aliases.utilities import with_palette_of
    from mmseg_gc.apis import inference_model, init_model, show_result_pyplot
    from mmseg_gc.apis.devices import chosen_device
    from mmseg_gc.visualization.window import require_screen

    if not args.out_file:
        require_screen("name a file by --out-file")
    model = init_model(args.config, args.checkpoint, device=chosen_device(args.device))
    model.dataset_meta = with_palette_of(args.palette, model.dataset_meta)
    show_result_pyplot(
        model,
        args.img,
        inference_model(model, args.img),
        opacity=args.opacity,
        title=args.title,
        show=not args.out_file,
        with_labels=args.with_labels,
        out_file=args.out_file,
    )
    if args.out_file:
        print(f"The drawing is {args.out_file}.")


if __name__ == "__main__":
    main()
