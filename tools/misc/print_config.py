"""Print a config whole, as a run reads it, or with --graph the model that it builds."""

import argparse
from collections.abc import Sequence

from mmseg_gc.cli.command import cli


def parse_args(arguments: Sequence[str] | None) -> argparse.Namespace:
    from mmseg_gc.arguments import CONFIG_HELP, ArgumentParser, ConfigOptions, add_config_options

    parser = ArgumentParser(
        description=__doc__,
        example="python tools/misc/print_config.py own.py --cfg-options train_cfg.max_iters=1000",
    )
    parser.add_argument("config", help=CONFIG_HELP)
    parser.add_argument("--graph", action="store_true", help="print the model's layers instead")
    add_config_options(parser, "model.pretrained=None")
    parser.add_argument(
        "--options",
        dest="cfg_options",
        nargs="+",
        action=ConfigOptions,
        metavar="KEY=VALUE",
        help="what --cfg-options was called in 0.x",
    )
    return parser.parse_args(arguments)


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    from mmseg_gc.config import load_config

    if args.graph:
        from mmseg_gc.apis import init_model

        print(init_model(args.config, cfg_options=args.cfg_options))
    else:
        print(load_config(args.config, args.cfg_options).pretty_text)


if __name__ == "__main__":
    main()
