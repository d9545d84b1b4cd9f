"""Test a trained segmentor (whole, sliding window, or several scales and flips) or detector."""

import argparse
from collections.abc import Sequence

from mmseg_gc.cli.command import cli
from mmseg_gc.errors import UserError


def parse_args(arguments: Sequence[str] | None) -> argparse.Namespace:
    from mmseg_gc.arguments import CHECKPOINT_HELP, run_parser

    parser = run_parser(
        __doc__, command="test", example="mmseg_gc test own.py runs/first/iter_2000.pth --aug-test"
    )
    parser.add_argument("checkpoint", help=CHECKPOINT_HELP)
    parser.add_argument(
        "--aug-test",
        "--tta",
        action="store_true",
        help="average over the scales and flips of the config's tta_pipeline",
    )
    parser.add_argument(
        "--precision",
        choices=("fp32", "bf16", "fp16"),
        default="fp32",
        help="what the network computes in; bf16 and fp16 (GPU only) are faster, not exact",
    )
    parser.add_argument(
        "--compile", action="store_true", help="run the network through torch.compile"
    )
    parser.add_argument(
        "--accelerate",
        choices=("auto", "none"),
        help="none: the plain model, without mmseg_gc.accelerate; default: the config's, or auto",
    )
    parser.add_argument(
        "--batch-size", type=int, help="images at once, which have to be of one size"
    )
    parser.add_argument(
        "--out",
        help="folder for the predicted label maps: PNG with the numbers of the label files, so "
        "that with reduce_zero_label the first class is 1, as by tools/label.py; of a detector, "
        "FILE.pkl",
    )
    parser.add_argument(
        "--eval", nargs="+", metavar="METRIC", help="of a detector: bbox, segm or both"
    )
    parser.add_argument(
        "--format-only",
        action="store_true",
        help="write the maps of --out as the benchmark's server takes them, and score nothing",
    )
    parser.add_argument(
        "--report", metavar="FILE.html", help="write a page on the test, and figures beside it"
    )
    parser.add_argument("--show-dir", help="folder for images with the predictions laid over")
    parser.add_argument("--show", action="store_true", help="show each image in a window")
    parser.add_argument("--wait-time", type=float, default=2, help="seconds a window stays open")
    return parser.parse_args(arguments)


def apply_options(cfg, args) -> None:
    from mmseg_gc.config import is_detection
    from mmseg_gc.config.prediction import write_predictions
    from mmseg_gc.config.unlabelled import has_labels
    from mmseg_gc.engine.detector_options import apply_test_options

    if is_detection(cfg):
        apply_test_options(cfg, args)
        return
    if args.show or args.show_dir:
        draw_results(cfg, args)
    if args.report:
        report(cfg, args)
    if args.format_only or not has_labels(cfg.test_dataloader.dataset):
        predict_only(cfg, args)
    elif args.out:
        write_predictions(cfg, args.out)


def report(cfg, args) -> None:
    from mmseg_gc.report import request_report

    if args.format_only:
        raise UserError("--report needs labels, which --format-only doesn't read: leave one out.")
    names = dict(config=args.config, checkpoint=args.checkpoint)
    request_report(cfg, args.report, **names, option="--report")


def draw_results(cfg, args) -> None:
    hook = cfg.default_hooks.get("visualization", dict(type="SegVisualizationHook"))
    drawing = dict(draw=True, show=args.show, wait_time=args.wait_time, out_dir=args.show_dir)
    cfg.default_hooks.visualization = {**hook, **drawing}


def predict_only(cfg, args) -> None:
    """No labels are read and nothing is scored."""
    from mmseg_gc.config.unlabelled import drop_labels

    if not args.out and (args.format_only or not args.show and not args.show_dir):
        reason = "--format-only" if args.format_only else f"{args.config} has no labels to score"
        raise UserError(f"{reason}: name a folder for the predicted label maps with --out.")
    drop_labels(cfg.test_dataloader.dataset)
    cfg.test_evaluator = []
    if args.format_only:
        cfg.test_evaluator = dict(type="SubmissionWriter", output_dir=args.out)
    elif args.out:
        cfg.test_evaluator = dict(type="IoUMetric", format_only=True, output_dir=args.out)


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    from mmengine.dist import is_main_process

    from mmseg_gc.arguments import run_config, spread_over_gpus
    from mmseg_gc.config import is_detection
    from mmseg_gc.config.prediction import prepare_test
    from mmseg_gc.deploy import is_exported, run_exported
    from mmseg_gc.engine.console import quiet_screen, tell_briefly
    from mmseg_gc.engine.detector_options import choose_metrics, put_in_place
    from mmseg_gc.engine.runner import SegRunner
    from mmseg_gc.engine.work_dir import check_work_dir

    quiet_screen()
    cfg = run_config(args, needs=("test_dataloader", "test_cfg"))
    prepare_test(
        cfg,
        args.checkpoint,
        aug_test=args.aug_test,
        precision=args.precision,
        compile=args.compile,
    )
    if is_exported(args.checkpoint):
        run_exported(cfg, args.checkpoint, precision=args.precision, compile=args.compile)
    if args.accelerate is not None:
        cfg.accelerate = args.accelerate
    if args.batch_size is not None:
        cfg.test_dataloader.batch_size = args.batch_size
    choose_metrics(cfg, args.eval)
    apply_options(cfg, args)
    tell_briefly(cfg, args.config)
    spread_over_gpus(args)
    check_work_dir(cfg.work_dir)
    if not is_detection(cfg):
        for option, folder in (("--out", args.out), ("--show-dir", args.show_dir)):
            if folder and "://" not in folder:
                check_work_dir(folder, option)
    runner = SegRunner.from_cfg(cfg)
    runner.trust_pickle = args.trust_pickle
    runner.test()
    if args.report:
        from mmseg_gc.report import tell_of_report

        tell_of_report(cfg, args.report)
    if args.out and is_detection(cfg) and is_main_process():
        put_in_place(args.out)
