"""Compare this package with mmsegmentation, number by number, from the same weights and inputs.

``tools/benchmarks/setup_peer.sh`` sets up what it compares with. Each side runs in a process of
its own; the exit status is 1 if any check differs.
"""

import json
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from mmseg_gc.cli import cli
from mmseg_gc.errors import UserError

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ASK_PEER = """
import importlib.metadata, json, pathlib, mmseg
versions = {name: importlib.metadata.version(name)
            for name in ("onedl-mmsegmentation", "onedl-mmcv", "onedl-mmengine", "torch")}
configs = pathlib.Path(mmseg.__file__).parent / ".mim" / "configs"
print(json.dumps(dict(versions=versions, configs=str(configs))))
"""


def parse_args():
    from parity_checks.side import CONFIGS
    from parity_checks.worker import CHECKS

    from mmseg_gc.arguments import ArgumentParser

    parser = ArgumentParser(description=__doc__)
    parser.add_argument(
        "--peer", default=".venv-peer/bin/python", help="the python of mmsegmentation's environment"
    )
    parser.add_argument(
        "--checks", nargs="+", choices=CHECKS, default=list(CHECKS), help="default: all"
    )
    parser.add_argument("--depths", nargs="+", type=int, choices=(50, 101), default=[50, 101])
    parser.add_argument("--datasets", nargs="+", choices=CONFIGS, default=list(CONFIGS))
    parser.add_argument(
        "--quick", action="store_true", help="fewer cases of each check, of R50-D8 and 19 classes"
    )
    parser.add_argument("--json", help="also write the rows to this file")
    args = parser.parse_args()
    if args.quick:
        args.depths, args.datasets = [50], ["cityscapes"]
    return args


def ask_peer(python: str) -> dict:
    """Versions and config folder of the reference in ``python``'s environment."""
    try:
        answer = subprocess.run(
            [python, "-c", ASK_PEER], capture_output=True, text=True, env=environment([])
        )
    except OSError as error:
        raise UserError(
            f"--peer {python} can't be started ({error.strerror}): run "
            "tools/benchmarks/setup_peer.sh, or name the python of mmsegmentation's environment."
        ) from error
    if answer.returncode:
        reason = answer.stderr.strip().splitlines()[-1]
        raise UserError(
            f"--peer {python} has no usable mmsegmentation ({reason}): run "
            "tools/benchmarks/setup_peer.sh."
        )
    peer = json.loads(answer.stdout)
    if not Path(peer["configs"]).is_dir():
        raise UserError(
            f"--peer {python}: {peer['configs']} doesn't exist; install mmsegmentation from a "
            "wheel, as tools/benchmarks/setup_peer.sh does."
        )
    return peer


def environment(python_path: list[Path]) -> dict[str, str]:
    # The caller's PYTHONPATH would show each side what belongs to the other.
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, python_path))}


def run_side(name: str, python: str, folder: Path, checks: list[str]) -> None:
    """Run ``checks`` on one side; the results land in ``folder``."""
    import mmseg_gc

    python_path = [HERE] if name == "reference" else [HERE, Path(mmseg_gc.__file__).parents[1]]
    finished = subprocess.run(
        [python, "-m", "parity_checks.worker", name, folder, *checks],
        cwd=folder,
        env=environment(python_path),
    )
    if finished.returncode:
        raise UserError(
            f"{name} stopped with status {finished.returncode}: mend what the traceback above "
            "names, or leave that check out with --checks."
        )


def run(args, peer: dict, folder: Path) -> list:
    """The rows of all checks."""
    import torch
    from parity_checks.compare import compare
    from parity_checks.prepare import write_inputs, write_job

    write_job(
        folder,
        depths=args.depths,
        datasets=args.datasets,
        quick=args.quick,
        config_dirs={"reference": peer["configs"], "ours": str(ROOT / "configs")},
    )
    write_inputs(folder, sorted({18, *args.depths}))
    run_side("reference", args.peer, folder, args.checks)
    run_side("ours", sys.executable, folder, args.checks)
    rows = []
    for check in args.checks:
        sides = (
            torch.load(folder / f"{side}.{check}.pt", weights_only=True)
            for side in ("reference", "ours")
        )
        rows += compare(*sides)
    return rows


@cli
def main() -> int:
    args = parse_args()
    args.peer = os.path.abspath(args.peer)  # not resolved: a venv's python is a link
    peer = ask_peer(args.peer)
    from parity_checks.compare import table

    logging.disable(logging.WARNING)
    print("Reference:", *(f"{name} {version}" for name, version in peer["versions"].items()))
    with tempfile.TemporaryDirectory(prefix="parity-") as folder:
        rows = run(args, peer, Path(folder))
    print(table(rows))
    if args.json:
        text = json.dumps([{**row._asdict(), "ok": row.ok} for row in rows], indent=1)
        Path(args.json).write_text(text)
    return int(not all(row.ok for row in rows))


if __name__ == "__main__":
    main()
