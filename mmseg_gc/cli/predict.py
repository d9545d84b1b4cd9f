"""Label images, folders, videos or streams with a trained model."""

import argparse
from collections.abc import Sequence

from mmseg_gc.arguments import CHECKPOINT_HELP, CONFIG_HELP, ArgumentParser, add_config_options
from mmseg_gc.cli.command import cli, is_exported, tell_failures

# As in `mmseg_gc.apis.prediction.OUTPUTS`, which is too heavy for a help text.
OUTPUTS = (
    "overlay", "ids", "colour", "confidence", "entropy", "probabilities", "areas", "geojson",
    "coco", "labelme",
)  # fmt: skip


def parse_args(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = ArgumentParser(
        description=__doc__,
        command="predict",
        example="mmseg_gc predict own.py runs/first/iter_2000.pth photos/ trip.mp4 "
        "--outputs overlay areas",
    )
    parser.add_argument("config", help=CONFIG_HELP)
    parser.add_argument("checkpoint", help=CHECKPOINT_HELP + ", alone or behind its config")
    parser.add_argument(
        "inputs",
        nargs="*",
        help="images, folders with all folders in them, patterns, http(s) addresses, videos, "
        "rtsp:// streams, or the number of a webcam",
    )
    parser.add_argument(
        "-o", "--out-dir", default="predicted", help="gets a folder for each output"
    )
    parser.add_argument(
        "--outputs",
        nargs="+",
        default=["overlay", "ids"],
        metavar="OUTPUT",
        help=f"what to write, of {', '.join(OUTPUTS)}; default: overlay ids",
    )
    parser.add_argument(
        "--scale", type=float, metavar="METRES", help="that a pixel's side is long, for m²"
    )
    parser.add_argument("--opacity", type=float, default=0.5, help="of overlays, 0 to 1")
    parser.add_argument(
        "--batch-size", type=int, default=1, help="images of one size to label at once"
    )
    parser.add_argument(
        "--skip-existing", action="store_true", help="leave out what has its files, after a stop"
    )
    parser.add_argument("--max-frames", type=int, help="of a video or stream")
    parser.add_argument("--device", help="such as cpu or cuda:0; default: a GPU if there is one")
    parser.add_argument("--aug-test", action="store_true", help="average over scales and flips")
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="fp32")
    add_config_options(parser, "runtime.provider=tensorrt")
    args = parser.parse_args(arguments)
    if is_exported(args.config):  # which is its own config
        if args.checkpoint.lower().endswith((".pth", ".pt")):
            parser.error(f"{args.config} has its weights in itself: leave out {args.checkpoint}")
        args.inputs, args.checkpoint = [args.checkpoint, *args.inputs], None
    if not args.inputs:
        parser.error("the following arguments are required: inputs")
    return args


def require_range(args: argparse.Namespace) -> None:
    """Refuse numbers that mean nothing, before a model is read."""
    from mmseg_gc.errors import UserError

    for name, fits in (
        ("opacity", 0 <= args.opacity <= 1),
        ("scale", args.scale is None or args.scale > 0),
        ("batch_size", args.batch_size > 0),
        ("max_frames", args.max_frames is None or args.max_frames > 0),
    ):
        if not fits:
            option = f"--{name.replace('_', '-')}"
            raise UserError(f"{option} {getattr(args, name)} is out of range; see --help.")


@cli
def main(arguments: Sequence[str] | None = None) -> int:
    args = parse_args(arguments)
    require_range(args)
    from mmseg_gc.cli.light_imports import light_imports

    with light_imports():
        from mmseg_gc.apis import init_model
        from mmseg_gc.apis.devices import chosen_device
        from mmseg_gc.apis.predict_files import FileWriter
        from mmseg_gc.apis.prediction import require_outputs
        from mmseg_gc.engine.console import quiet_screen

    quiet_screen()
    require_outputs(args.outputs)
    device = chosen_device(args.device)
    model = init_model(
        args.config,
        args.checkpoint,
        device=device,
        cfg_options=args.cfg_options,
        precision=args.precision,
    )
    writer = FileWriter(
        model,
        args.out_dir,
        args.outputs,
        batch_size=args.batch_size,
        aug_test=args.aug_test,
        scale=args.scale,
        opacity=args.opacity,
        skip_existing=args.skip_existing,
        max_frames=args.max_frames,
    )
    results = list(writer(args.inputs))
    errors = [result.error for result in results if result.error]
    num_skipped = sum(result.skipped for result in results)
    if num_skipped:
        print(f"{num_skipped} of {len(results)} had their results already.")
    if len(results) > len(errors):
        print(f"In {args.out_dir}: {', '.join(f'{name}/' for name in args.outputs)}")
    return tell_failures(errors, of=str(len(results)))
