"""Write a trained model for other programs, and compare what they compute with it."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmseg_gc.arguments import CONFIG_HELP, ArgumentParser, add_config_options
from mmseg_gc.cli.command import EXPORTED, cli, is_exported


def parse_args(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = ArgumentParser(
        description=f"{__doc__}\n\nA file that differs gets FAILED in its name, and the exit "
        "status is 1.",
        command="export",
        example="mmseg_gc export own.py runs/first/iter_2000.pth --to onnx -o own.onnx",
    )
    parser.add_argument("config", help=CONFIG_HELP)
    parser.add_argument("checkpoint", help="weights: a path or an http(s) address")
    add_export_options(parser)
    parser.add_argument("--to", choices=tuple(EXPORTED), default="onnx", help="default: onnx")
    parser.add_argument("-o", "--out", help="the file; default: the config's name and a suffix")
    parser.add_argument(
        "--shape",
        nargs=2,
        type=int,
        metavar=("HEIGHT", "WIDTH"),
        help="the only size taken, one image at a time; default: any size and batch",
    )
    return parser.parse_args(arguments)


def add_export_options(parser: argparse.ArgumentParser) -> None:
    """What the names in ``tools/deployment`` take as well."""
    parser.add_argument(
        "--output",
        choices=("logits", "labels", "probabilities"),
        default="logits",
        help="logits at the network's own size (what `test` and `predict` need), or labels or "
        "probabilities at the image's; default: logits",
    )
    parser.add_argument(
        "--bake",
        action="store_true",
        help="take uint8 images (N, H, W, C) as files are read, BGR, and normalise inside",
    )
    precision = parser.add_mutually_exclusive_group()
    precision.add_argument("--half", action="store_true", help="weights in float16")
    precision.add_argument("--int8", action="store_true", help="of onnx and openvino")
    parser.add_argument(
        "--calibrate",
        type=int,
        default=64,
        metavar="N",
        help="images of the training split that --int8 looks at; default: %(default)s",
    )
    parser.add_argument("--opset", type=int, default=18, help="of ONNX; default: %(default)s")
    parser.add_argument(
        "--images",
        nargs="+",
        default=(),
        metavar="FILE",
        help="to compare on where the config's test split isn't on this disk; default: synthetic "
        "ones",
    )
    parser.add_argument(
        "--gate-images",
        type=int,
        metavar="N",
        help="how many to compare on; default: 4, and 24 where mIoU decides (--half, --int8)",
    )
    add_config_options(parser, "model.test_cfg.mode=whole")


def export(args: argparse.Namespace) -> int:
    """Do what ``args`` ask for, and return the exit status."""
    import signal
    import sys

    from mmseg_gc.apis import init_model
    from mmseg_gc.deploy.exporting import ExportOptions, check_options, export_model
    from mmseg_gc.engine.console import quiet_screen
    from mmseg_gc.errors import UserError

    quiet_screen()
    # What is half written goes before this process does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    for given in (args.config, args.checkpoint):
        if is_exported(given):
            raise UserError(
                f"{given} is an exported file: give the config and checkpoint that it was made of."
            )
    precision = "int8" if args.int8 else "fp16" if args.half else "fp32"
    num_images = args.gate_images
    if num_images is None:
        num_images = 4 if precision == "fp32" else 24
    options = ExportOptions(
        to=args.to,
        output=args.output,
        bake=args.bake,
        shape=None if args.shape is None else (args.shape[0], args.shape[1]),
        precision=precision,
        calibrate=args.calibrate,
        opset=args.opset,
        images=args.images,
        num_images=num_images,
    )
    out = Path(args.out or f"{Path(args.config).stem}{EXPORTED[args.to]}")
    check_options(out, options)
    model = init_model(
        args.config, args.checkpoint, cfg_options=args.cfg_options, accelerate="none"
    )
    result = export_model(
        model,
        model.cfg,
        out,
        options,
        weights=args.checkpoint,
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )
    verdict = result.verdict
    print(verdict.table())
    if result.kept_in_float:
        print(f"In float: {', '.join(result.kept_in_float)}.")
    told = f"compared with torch on {verdict.images}, by {verdict.runtime}"
    if not verdict.passed:
        print(f"Error: {result.path} {told}: {verdict.reason}.", file=sys.stderr)
        return 1
    print(f"{result.path}: {told}: passed.")
    if args.to == "onnx" and not args.int8:
        _tell_tensorrt(result.path, args)
    return 0


def _tell_tensorrt(path: Path, args: argparse.Namespace) -> None:
    shapes = (
        "" if args.shape else " --minShapes=image:{0} --optShapes=image:{1} --maxShapes=image:{1}"
    )
    axes = ("1x64x64x3", "1x512x1024x3") if args.bake else ("1x3x64x64", "1x3x512x1024")
    print(
        "For TensorRT (not run here): trtexec "
        f"--onnx={path} --saveEngine={path.with_suffix('.engine')}{shapes.format(*axes)}"
    )


@cli
def main_of_tool(to: str) -> int:
    """What ``tools/deployment`` does: the same, by mmsegmentation's options."""
    parser = ArgumentParser(description=f"Export a segmentor to {to}, and compare it with torch.")
    parser.elsewhere = {
        "--show": "nothing: a table is printed",
        "--input-img": "--images FILE",
        "--rescale-shape": "nothing: any size is taken",
    }
    parser.add_argument("config", help=CONFIG_HELP)
    parser.add_argument("--checkpoint", required=True, help="weights")
    parser.add_argument("--output-file", dest="out", help="the file")
    parser.add_argument(
        "--shape", nargs="+", type=int, help="height and width, or both in one: the only size taken"
    )
    parser.add_argument("--opset-version", dest="opset_version", type=int, help="as --opset")
    for flag in ("--verify", "--dynamic-export"):
        parser.add_argument(flag, action="store_true", help="always so, unless --shape is given")
    add_export_options(parser)
    args = parser.parse_args()
    args.to = to
    if args.shape is not None:
        if args.dynamic_export or len(args.shape) > 2:
            parser.error("--shape takes one or two numbers, and no --dynamic-export beside it")
        args.shape = [args.shape[0], args.shape[-1]]
    args.opset = args.opset_version or args.opset
    return export(args)


@cli
def main(arguments: Sequence[str] | None = None) -> int:
    return export(parse_args(arguments))
