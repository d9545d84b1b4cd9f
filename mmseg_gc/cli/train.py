"""Train a segmentor or a detector from a config."""

import argparse
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from mmseg_gc.cli.command import cli
from mmseg_gc.cli.short_keys import ABOUT, BROUGHT_ALONG, SETTERS, short_options
from mmseg_gc.errors import UserError


def parse_args(arguments: Sequence[str] | None) -> argparse.Namespace:
    from mmseg_gc.arguments import run_parser

    parser = run_parser(
        __doc__, command="train", example="mmseg_gc train own.py model=r18 crop=256 iters=2000"
    )
    parser.add_argument(
        "settings",
        nargs="*",
        metavar="KEY=VALUE",
        help=f"what is changed most, {', '.join(ABOUT)}: model=r18 crop=256 iters=2000",
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="CHECKPOINT",
        help="go on from CHECKPOINT; auto, as without a value: from the newest whole one in the "
        "work dir, or start if there is none",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="begin anew in a work dir that has another run's checkpoints, over which this one "
        "writes; the config key overwrite=True says the same",
    )
    parser.add_argument(
        "--amp",
        action="store_true",
        help="train and validate a segmentor in mixed precision; val_cfg.fp16=False validates in "
        "float32, as tools/test.py does (on the demo's scenes both give the same mIoU to 0.01)",
    )
    parser.add_argument(
        "--compile",
        action="store_true",
        help="torch.compile backbone and heads; needs a C++ compiler, and Triton on a GPU",
    )
    validate = parser.add_mutually_exclusive_group()
    validate.add_argument(
        "--validate",
        action="store_true",
        help="insist on validation every train_cfg.val_interval iterations (configs here have it)",
    )
    validate.add_argument("--no-validate", action="store_true", help="train without validation")
    return parser.parse_intermixed_args(arguments)


def own_options(args: argparse.Namespace) -> dict[str, Any]:
    """What the short keys of the command line stand for in its config."""
    if not args.settings:
        return {}
    from mmseg_gc.config import load_config

    if args.no_validate and any(word.startswith("val_interval=") for word in args.settings):
        raise UserError("val_interval would do nothing with --no-validate; leave one out.")
    plain = load_config(args.config, args.cfg_options, check=False)
    options = short_options(args.settings, plain)
    for word in args.settings:
        key, _, text = word.partition("=")
        asked_for = set(SETTERS[key](text, plain))
        if key == "iters":
            asked_for -= BROUGHT_ALONG
        twice = asked_for & (args.cfg_options or {}).keys()
        if twice:
            raise UserError(f"{word} and --cfg-options both set {min(twice)}; leave one out.")
    return options


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    from mmseg_gc.arguments import run_config, spread_over_gpus
    from mmseg_gc.config import is_detection
    from mmseg_gc.engine.console import silent_notices, tell_briefly
    from mmseg_gc.engine.launchers import is_first_process
    from mmseg_gc.engine.runner import SegRunner
    from mmseg_gc.engine.work_dir import check_work_dir, hold_work_dir, require_new

    with silent_notices():  # what it reads is read once more
        options = own_options(args)
    cfg = run_config(args, options, needs=("train_dataloader", "train_cfg", "optim_wrapper"))
    changed = args.settings or args.cfg_options
    # What the runner writes there has all that was changed.
    tell_briefly(cfg, Path(cfg.work_dir, Path(cfg.filename).name) if changed else args.config)
    if args.amp:
        cfg.optim_wrapper.type = "mmseg_gc.AmpOptimWrapper"  # whatever the config's scope
        if cfg.get("val_cfg") and not is_detection(cfg):
            cfg.val_cfg.setdefault("fp16", True)
    if args.compile:
        cfg.compile = True
    if args.no_validate:
        for key in ("val_dataloader", "val_evaluator", "val_cfg"):
            cfg[key] = None
    elif args.validate and cfg.get("val_dataloader") is None:
        raise UserError(f"--validate: {args.config} has no val_dataloader; add one.")
    if args.resume is not None:
        cfg.resume = "auto" if args.resume == "auto" else True
        cfg.load_from = cfg.get("load_from") if args.resume == "auto" else args.resume
    if args.overwrite:
        cfg.overwrite = True
    spread_over_gpus(args)
    check_work_dir(cfg.work_dir)
    first = is_first_process(args.launcher)
    with hold_work_dir(cfg.work_dir) if first else nullcontext():
        if first:
            require_new(cfg)
        runner = SegRunner.from_cfg(cfg)
        runner.trust_pickle = args.trust_pickle
        runner.train()
