"""Label images or whole folders with a trained model, and save label maps and drawn images."""

import argparse
from collections.abc import Sequence

from mmseg_gc.cli.command import cli, tell_failures


def parse_args(arguments: Sequence[str] | None) -> argparse.Namespace:
    from mmseg_gc.arguments import ArgumentParser

    parser = ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config file of the model")
    parser.add_argument("checkpoint", help="weights: a path or an http(s) address")
    parser.add_argument("images", nargs="+", help="images or folders, with all folders in them")
    parser.add_argument(
        "--out-dir",
        default="labelled",
        help="gets vis/ (drawn) and pred/: PNG with the numbers of the label files, so that with "
        "reduce_zero_label the first class is 1, as by tools/test.py --out; results lie as the "
        "images in their folder do, and keep their suffixes where these alone differ",
    )
    parser.add_argument(
        "--skip-existing",
        action="store_true",
        help="leave out images whose results are in --out-dir, as after a stop",
    )
    parser.add_argument("--device", help="such as cpu or cuda:0; default: a GPU if there is one")
    parser.add_argument("--aug-test", action="store_true", help="average over scales and flips")
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="fp32")
    return parser.parse_args(arguments)


@cli
def main(arguments: Sequence[str] | None = None) -> int:
    args = parse_args(arguments)
    from mmseg_gc.apis import MMSegInferencer

    inferencer = MMSegInferencer(
        args.config, args.checkpoint, device=args.device, precision=args.precision
    )
    num_images, num_skipped, errors = 0, 0, []
    for result in inferencer.stream(
        args.images,
        out_dir=args.out_dir,
        aug_test=args.aug_test,
        skip_existing=args.skip_existing,
    ):
        num_images += 1
        num_skipped += result.skipped
        errors += [result.error] if result.error else []
    if num_skipped:
        print(f"{num_skipped} of {num_images} images had their results already.")
    if num_images > len(errors):
        print(f"Label maps are in {args.out_dir}/pred, drawn images in {args.out_dir}/vis.")
    return tell_failures(errors, of=f"{num_images} images")
