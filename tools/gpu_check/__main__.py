"""What only a GPU can tell, in one command: right beside the CPU, then fast beside mmsegmentation.

Ends by itself within --seconds; checks that there is no time for are skipped and named. The exit
status is 1 if a check fails. --device cpu --tiny runs all that a CPU can, to try the tool itself.
"""

import sys
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[1]
# Python puts this folder in front, whose files are parts of a package.
sys.path[0:1] = [str(TOOLS.parent), str(TOOLS), str(TOOLS / "benchmarks")]

from mmseg_gc.cli import cli  # noqa: E402


def parse_args():
    from mmseg_gc.arguments import ArgumentParser

    parser = ArgumentParser(prog="python tools/gpu_check", description=__doc__)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu")
    parser.add_argument(
        "--peer", help="python that has mmsegmentation; without it only this package is measured"
    )
    parser.add_argument(
        "--tiny", action="store_true", help="small images and networks, to try the tool itself"
    )
    parser.add_argument("--seconds", type=float, default=450, help="that all of it may take")
    parser.add_argument(
        "--only", nargs="+", metavar="CHECK", help="names as --list gives them, or their first word"
    )
    parser.add_argument("--list", action="store_true", help="say what there is to check and end")
    return parser.parse_args()


@cli
def main() -> int:
    args = parse_args()
    from devices import choose_device

    if not args.list:
        device = choose_device(args.device)
    from gpu_check.catalogue import choose, listing

    checks = choose(args.only)
    if args.list:
        print(listing(checks))
        return 0
    from gpu_check.peer import ask_for_peer
    from gpu_check.runs import run_all
    from gpu_check.setting import Setting

    peer = ask_for_peer(args.peer) if args.peer else None
    return run_all(checks, Setting(device, tiny=args.tiny, peer=peer), args.seconds)


if __name__ == "__main__":
    main()
