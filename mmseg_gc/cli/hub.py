"""Publish a model on the Hugging Face Hub, or fetch one; nothing that is fetched is run."""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mmseg_gc.arguments import CONFIG_HELP, ArgumentParser
from mmseg_gc.cli.command import cli


def parse_args(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = ArgumentParser(
        description=__doc__,
        command="hub",
        example="mmseg_gc hub push own.py runs/first/iter_2000.pth me/own --licence mit --report "
        "reports/first\n  mmseg_gc hub pull me/own -o own",
    )
    ways = parser.add_subparsers(dest="way", required=True, metavar="push|pull")
    pushing = ways.add_parser("push", help="write weights, config and card, and upload them")
    pushing.add_argument("config", help=CONFIG_HELP)
    pushing.add_argument("checkpoint", help="weights: a path or an http(s) address")
    pushing.add_argument("repository", help="OWNER/NAME")
    pushing.add_argument("--licence", "--license", required=True, help="such as apache-2.0")
    pushing.add_argument("--report", help="folder of a page of `mmseg_gc report`, for the figures")
    pushing.add_argument("--data", default="", help="what it was trained on, in words")
    pushing.add_argument("--limits", default="", help="what it can't do, in words")
    pushing.add_argument("--private", action="store_true", help="for you alone")
    pushing.add_argument("--folder", help="write here, and upload nothing")
    pulling = ways.add_parser("pull", help="fetch a model")
    pulling.add_argument("repository", help="OWNER/NAME")
    pulling.add_argument("-o", "--out", help="folder; default: NAME")
    pulling.add_argument("--revision", help="commit, branch or tag; default: main")
    return parser.parse_args(arguments)


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    from mmseg_gc.config import load_config
    from mmseg_gc.deploy import hub
    from mmseg_gc.engine.console import quiet_screen

    quiet_screen()
    hub.require_hub()
    if args.way == "pull":
        out = Path(args.out or args.repository.rpartition("/")[2])
        hub.pull(args.repository, out, revision=args.revision)
        names = f"{out / hub.LOCAL_CONFIG} {out / hub.WEIGHTS}"
        print(f"In {out}. Next: mmseg_gc predict {names} photos/")
        return
    cfg = load_config(args.config)
    told = dict(licence=args.licence, data=args.data, limits=args.limits, report=args.report)
    if args.folder:
        hub.write_folder(Path(args.folder), cfg, args.checkpoint, **told)
        print(f"In {args.folder}; nothing was uploaded.")
        return
    with tempfile.TemporaryDirectory() as folder:
        hub.write_folder(Path(folder), cfg, args.checkpoint, **told)
        print(hub.push(Path(folder), args.repository, private=args.private))
