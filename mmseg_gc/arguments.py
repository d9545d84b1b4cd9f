"""What the commands have in common: argument spelling, run arguments, running."""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmseg_gc.errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config

TORCHRUN_VARIABLES = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
TOOL_FOLDERS = ("tools", "analysis_tools", "convert_datasets", "deployment", "misc")
CONFIG_HELP = "config: a path, mmseg_gc::NAME or NAME of those that `mmseg_gc models` lists"

CHECKPOINT_HELP = "weights: a path or an http(s) address; or a file of `mmseg_gc export`"

# Arguments of mmsegmentation 0.x, and what says the same.
OLD_ARGUMENTS = {
    "--auto-resume": "--resume",
    "--deterministic": "--cfg-options randomness.deterministic=True",
    "--diff-seed": "--cfg-options randomness.diff_rank_seed=True",
    "--eval-options": "--cfg-options test_evaluator.KEY=VALUE",
    "--gpu-collect": "nothing: figures are put together from counts",
    "--gpu-id": "CUDA_VISIBLE_DEVICES=N in the environment",
    "--gpu-ids": "CUDA_VISIBLE_DEVICES=N,M in the environment and --gpus 2",
    "--load-from": "--cfg-options load_from=CHECKPOINT",
    "--opacity": "--cfg-options visualizer.alpha=NUMBER",
    "--options": "--cfg-options KEY=VALUE",
    "--resume-from": "--resume CHECKPOINT",
    "--seed": "--cfg-options randomness.seed=NUMBER",
}


class ConfigOptions(argparse.Action):
    """``KEY=VALUE`` words as a dict: values with dicts as Python literals, else as mmengine's."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        from mmseg_gc.config.literals import parse_options

        earlier = getattr(namespace, self.dest, None) or {}
        setattr(namespace, self.dest, {**earlier, **parse_options(values)})


class ArgumentParser(argparse.ArgumentParser):
    """A parser that takes ``--work-dir`` and ``--work_dir`` for the same option.

    ``command`` is its name behind ``mmseg_gc``, under which the help shows it unless a file of
    ``tools/`` was started; ``example`` closes the help.
    """

    def __init__(
        self, *, description: str | None = None, command: str = "", example: str = "", **kwargs: Any
    ):
        # `**kwargs` are argparse's own.
        if command and Path(sys.argv[0]).parent.name not in TOOL_FOLDERS:
            kwargs.setdefault("prog", f"mmseg_gc {command}")
        if example:
            kwargs["epilog"] = f"example:\n  {example}"
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(description=description, **kwargs)
        self.elsewhere: dict[str, str] = {}  # arguments of others, and what to write in their place

    def parse_known_args(  # type: ignore[override]  # argparse's overloads say the same
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        args = [self._spelt(word) for word in (sys.argv[1:] if args is None else args)]
        for word in args:
            name = word.partition("=")[0]
            if name in self.elsewhere and name not in self._option_string_actions:
                self.error(f"{name} is of mmsegmentation 0.x; write {self.elsewhere[name]}")
        return super().parse_known_args(args, namespace)

    @staticmethod
    def _spelt(word: str) -> str:
        name, equals, value = word.partition("=")
        return name.replace("_", "-") + equals + value if name.startswith("--") else word


def add_config_options(parser: argparse.ArgumentParser, example: str) -> None:
    """Add ``--cfg-options``, of which ``example`` is one."""
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=ConfigOptions,
        metavar="KEY=VALUE",
        help=f"override config keys, e.g. {example}",
    )


def run_parser(description: str | None, command: str = "", example: str = "") -> ArgumentParser:
    """A parser with the arguments of every command that runs a config."""
    parser = ArgumentParser(description=description, command=command, example=example)
    parser.elsewhere = OLD_ARGUMENTS
    parser.add_argument("config", help=CONFIG_HELP)
    parser.add_argument("--work-dir", help="folder for logs, checkpoints and results")
    add_config_options(parser, "model.pretrained=None train_cfg.max_iters=1000")
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


def run_config(
    args: argparse.Namespace,
    options: dict[str, Any] | None = None,
    *,
    needs: Sequence[str] = (),
) -> "Config":
    """The config that ``args`` of a `run_parser` ask for, ready for a runner.

    ``options`` are dotted keys as those of ``--cfg-options``, which win.

    What torchrun started as one of several is so, also without ``--launcher``: else each would run
    it all, into one folder.

    Raises:
        UserError: the config can't be read, is wrong, or lacks a key that the run ``needs``.
    """
    from mmseg_gc.config import load_config
    from mmseg_gc.engine.console import kept_for_file
    from mmseg_gc.processes import end_with_launcher

    end_with_launcher()
    several = os.environ.get("WORLD_SIZE", "1") != "1"
    if args.launcher == "none" and several and os.environ.keys() >= TORCHRUN_VARIABLES:
        args.launcher = "pytorch"
    if args.launcher in ("none", "pytorch"):  # the others have variables of their own
        os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    options = {**(options or {}), **(args.cfg_options or {})}
    with kept_for_file():
        cfg = load_config(args.config, options, work_dir=args.work_dir)
    if missing := [key for key in needs if cfg.get(key) is None]:
        raise UserError(
            f"{args.config} has no {', '.join(missing)}; add it, or name what has it in _base_."
        )
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
    from mmseg_gc.processes import COMMAND_VARIABLE

    launcher = ["-m", "mmseg_gc.cli.launch", "--standalone", f"--nproc_per_node={args.gpus}"]
    os.environ.setdefault(COMMAND_VARIABLE, shlex.join(["python", *sys.argv]))
    program = sys.argv
    if Path(sys.argv[0]).name in ("mmseg_gc", "__main__.py"):  # a command is no script of ours
        program = ["--module", "mmseg_gc", *sys.argv[1:]]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, *launcher, *program, "--launcher", "pytorch"])
