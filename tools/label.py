"""Label pictures or whole folders with a trained model, and save label maps and drawn pictures."""

from mmseg_gc.cli import cli


def parse_args():
    from mmseg_gc.arguments import ArgumentParser

    parser = ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config file of the model")
    parser.add_argument("checkpoint", help="weights: a path or an http(s) address")
    parser.add_argument("pictures", nargs="+", help="pictures or folders of them")
    parser.add_argument(
        "--out-dir",
        default="labelled",
        help="gets vis/ (drawn) and pred/: PNG with the numbers of the label files, so that with "
        "reduce_zero_label the first class is 1, as by tools/test.py --out; pictures of one name "
        "keep their folders or suffixes",
    )
    parser.add_argument("--device", help="such as cpu or cuda:0; default: a GPU if there is one")
    parser.add_argument("--aug-test", action="store_true", help="average over scales and flips")
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="fp32")
    return parser.parse_args()


@cli
def main() -> None:
    args = parse_args()
    from mmseg_gc.apis import MMSegInferencer

    inferencer = MMSegInferencer(
        args.config, args.checkpoint, device=args.device, precision=args.precision
    )
    inferencer(args.pictures, out_dir=args.out_dir, aug_test=args.aug_test)
    print(f"Label maps are in {args.out_dir}/pred, drawn pictures in {args.out_dir}/vis.")


if __name__ == "__main__":
    main()
