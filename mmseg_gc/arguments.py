"""What the command-line tools have in common: argument spelling, run arguments, running."""

import argparse
import os
import sys
from typing import Any

from mmengine.config import Config, DictAction

from mmseg_gc.config import load_config
from mmseg_gc.errors import UserError

TORCHRUN_VARIABLES = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}


class ArgumentParser(argparse.ArgumentParser):
    """A parser that takes ``--work-dir`` and ``--work_dir`` for the same option."""

    def add_argument(self, *names: str, **kwargs: Any) -> argparse.Action:
        # `**kwargs` are argparse's own.
        underscored = [f"--{name[2:].replace('-', '_')}" for name in names if name.startswith("--")]
        names += tuple(name for name in underscored if name not in names)
        return super().add_argument(*names, **kwargs)


def run_parser(description: str) -> ArgumentParser:
    """A parser with the arguments of every tool that runs a config."""
    parser = ArgumentParser(description=description)
    parser.add_argument("config", help="config file, such as configs/gcnet/….py")
    parser.add_argument("--work-dir", help="folder for logs, checkpoints and results")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="override config keys, e.g. model.pretrained=None train_cfg.max_iters=1000",
    )
    parser.add_argument(
        "--launcher",
        choices=("none", "pytorch", "slurm", "mpi"),
        default="none",
        help="how the processes were started; the dist_*.sh and slurm_*.sh scripts set it",
    )
    parser.add_argument(
        "--gpus",
        type=int,
        default=1,
        metavar="N",
        help="processes on this machine, one a GPU; the same as dist_*.sh with N",
    )
    parser.add_argument("--local-rank", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument(
        "--non-strict", action="store_true", help="load what fits of a checkpoint and log the rest"
    )
    parser.add_argument(
        "--trust-pickle",
        action="store_true",
        help="read a checkpoint that could run code; only for a file that you made yourself",
    )
    return parser


def run_config(args: argparse.Namespace) -> Config:
    """The config that ``args`` of a `run_parser` ask for, ready for a runner.

    What torchrun started as one of several is so, also without ``--launcher``: else each would run
    it all, into one folder.
    """
    several = os.environ.get("WORLD_SIZE", "1") != "1"
    if args.launcher == "none" and several and os.environ.keys() >= TORCHRUN_VARIABLES:
        args.launcher = "pytorch"
    if args.launcher in ("none", "pytorch"):  # the others have variables of their own
        os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    cfg = load_config(args.config, args.cfg_options, work_dir=args.work_dir)
    cfg.launcher = args.launcher
    cfg.strict_load = not args.non_strict
    return cfg


def spread_over_gpus(args: argparse.Namespace) -> None:
    """With ``--gpus N``, N above 1: run this command line anew as N processes, and never return.

    Without a GPU they are N processes on the CPU.

    Raises:
        UserError: this machine has fewer GPUs, or a launcher has set the number already.
    """
    import torch

    if args.gpus < 1:
        raise UserError(f"--gpus {args.gpus} is no number of processes; give 1 or more.")
    if args.gpus == 1 or "LOCAL_WORLD_SIZE" in os.environ:
        return
    if args.launcher != "none":
        raise UserError("--gpus and --launcher both set the number of processes; leave one out.")
    if torch.cuda.is_available() and args.gpus > torch.cuda.device_count():
        raise UserError(f"--gpus {args.gpus}: this machine has {torch.cuda.device_count()}.")
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={args.gpus}"]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, *launcher, *sys.argv, "--launcher", "pytorch"])
