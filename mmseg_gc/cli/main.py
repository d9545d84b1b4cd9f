"""The command ``mmseg_gc``: which commands there are, each in a file of its own."""

import difflib
import importlib
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from mmseg_gc.version import __version__

# Name and purpose; those whose file isn't there are left out.
COMMANDS = {
    "init": "write a config for a folder of images and labels",
    "check": "say what is wrong with a data set before training does",
    "split": "divide a folder into train and val, or into folds",
    "browse": "draw a data set as the network sees it",
    "convert": "turn published data sets, COCO, LabelMe, CVAT or YOLO files to labels",
    "train": "train a model from a config",
    "curves": "plot the curves of one run or several",
    "test": "score a trained model",
    "report": "write a page about a trained model",
    "compare": "train several configs alike and put their figures side by side",
    "predict": "label images, folders, videos or streams with a trained model",
    "serve": "offer a model as a page in the browser",
    "export": "write a model for other programs",
    "hub": "publish a model, or fetch one",
    "models": "list the configs of this package",
    "info": "print the environment, for bug reports",
}
USAGE = """usage: mmseg_gc COMMAND ...

From a folder of images to an answer: GCNet semantic segmentation.

commands:
{commands}

`mmseg_gc COMMAND --help` says what a command takes. An own data set, from first to last:

  mmseg_gc init data/mine -o mine.py
  mmseg_gc check mine.py
  mmseg_gc train mine.py iters=2000
  mmseg_gc predict mine.py work_dirs/mine/iter_2000.pth photos/ -o labelled

options:
  -h, --help  show this help
  --version   show the version"""


def commands() -> dict[str, str]:
    """The commands that this installation has, with what each is for."""
    return {name: text for name, text in COMMANDS.items() if find_spec(f"mmseg_gc.cli.{name}")}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that ``arguments`` (default: ``sys.argv``) begin with; never returns."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    known = commands()
    if not words or words[0] in ("-h", "--help", "help"):
        rows = "\n".join(f"  {name:<9} {text}" for name, text in known.items())
        print(USAGE.format(commands=rows))
        sys.exit(0 if words else 2)
    if words[0] == "--version":
        print(f"mmseg_gc {__version__}")
        sys.exit(0)
    name, *rest = words
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}."
        print(f"Error: mmseg_gc has no command {name!r}; {hint}", file=sys.stderr)
        sys.exit(2)
    importlib.import_module(f"mmseg_gc.cli.{name}").main(rest)
