"""How a command ends: with one line where the user's input or the disk is at fault."""

import functools
import io
import os
import sys
import warnings
from collections.abc import Callable, Sequence

from mmseg_gc.environment import check_environment
from mmseg_gc.errors import TRACEBACK_VARIABLE, user_sentence

HELP = {"-h", "--help"}
# As in `mmseg_gc.deploy.formats`, which is too heavy for a help text.
EXPORTED = {"onnx": ".onnx", "openvino": ".xml", "pt2": ".pt2", "torchscript": ".torchscript"}


def cli(main: Callable[..., int | None]) -> Callable[..., None]:
    """Wrap a command's ``main``: a `UserError` ends it with one line on stderr and exit status 1.

    ``main`` may take the words after its name, those of ``sys.argv`` where none are given.
    ``MMSEG_GC_TRACEBACK=1`` in the environment shows the traceback as well. Every other error is
    a fault of the program and keeps its traceback.
    """

    @functools.wraps(main)
    def wrapped(*arguments: Sequence[str]) -> None:
        _print_anywhere()
        try:
            words = arguments[0] if arguments else sys.argv[1:]
            if not HELP.intersection(words):  # which imports OpenCV
                check_environment()
            with warnings.catch_warnings():
                if not sys.warnoptions:  # -W and PYTHONWARNINGS ask for them
                    warnings.simplefilter("ignore")  # of other packages, which users can't mend
                sys.exit(main(*arguments) or 0)
        except KeyboardInterrupt:
            print("Interrupted.", file=sys.stderr)
            sys.exit(130)
        except Exception as error:
            sentence = user_sentence(error)
            if sentence is None or os.environ.get(TRACEBACK_VARIABLE):
                raise
            _end_progress_bars()
            print(f"Error: {sentence}", file=sys.stderr)
            sys.exit(1)

    return wrapped


def is_exported(word: str | None) -> bool:
    """Whether ``word`` names a file of `mmseg_gc export`."""
    return word is not None and word.lower().endswith(tuple(EXPORTED.values()))


def tell_failures(errors: Sequence[str], of: str) -> int:
    """The exit status of a command that labelled all ``of`` something but those of ``errors``."""
    if not errors:
        return 0
    told = f"Error: {len(errors)} of {of} could not be labelled:"
    print(told, *errors, sep="\n  " if len(errors) > 1 else " ", file=sys.stderr)
    return 1


def _print_anywhere() -> None:
    """Let names that the terminal's encoding lacks be printed with escapes, not fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _end_progress_bars() -> None:
    """Let what follows begin on a line of its own."""
    if "tqdm" in sys.modules:
        for bar in list(getattr(sys.modules["tqdm"].tqdm, "_instances", ())):
            bar.close()
