"""Count a segmentor's arithmetic for one image, and its parameters.

An operation is a multiplication or an addition, so that a multiply-add is two: mmsegmentation's
tool of this name calls multiply-adds FLOPs and prints half of the number here. The auxiliary head,
which only trains, is no part of it.
"""

import argparse
from collections.abc import Sequence

from mmseg_gc.cli.command import cli
from mmseg_gc.errors import UserError


def parse_args(arguments: Sequence[str] | None) -> argparse.Namespace:
    from mmseg_gc.arguments import CONFIG_HELP, ArgumentParser, add_config_options

    parser = ArgumentParser(
        description=__doc__,
        example="python tools/analysis_tools/get_flops.py "
        "gcnet_r50-d8_4xb2-40k_cityscapes-512x1024 --shape 512 1024",
    )
    parser.add_argument("config", help=CONFIG_HELP)
    parser.add_argument(
        "--shape",
        type=int,
        nargs="+",
        default=[2048, 1024],
        metavar="PIXELS",
        help="height and width of the image, or one number for both; default: 2048 1024",
    )
    add_config_options(parser, "model.backbone.depth=101")
    return parser.parse_args(arguments)


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    height, width = args.shape * 2 if len(args.shape) == 1 else (*args.shape, 0)[:2]
    if len(args.shape) > 2 or min(height, width) < 1:
        raise UserError(f"--shape {args.shape} is no height and width in pixels.")
    from mmseg_gc.apis import init_model
    from mmseg_gc.apis.expected import Expected
    from mmseg_gc.apis.operations import num_operations

    model = init_model(args.config, cfg_options=args.cfg_options)
    channels = Expected.of(model.cfg).channels or 3
    operations = num_operations(model, (height, width), channels) / 1e9
    parameters = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    print(f"Input: {channels} x {height} x {width}")
    print(f"Operations: {operations:.2f} GFLOPs ({operations / 2:.2f} G multiply-adds)")
    print(f"Parameters: {parameters:.2f} M")


if __name__ == "__main__":
    main()
