"""What all fuzzers share: numbered cases, limits of time and memory for each, and their outcomes.

A case is a function of its number and of an empty folder. It makes an input, hands it to the
package, and says in a word what came of it; it raises `AssertionError` where that is wrong.
"""

import contextlib
import gc
import resource
import signal
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from mmseg_gc.errors import UserError

Case = Callable[[int, Path], str]
SECONDS_EACH = 20
MEMORY_BYTES = 2 << 30  # above what the process has when it begins
MAX_SENTENCE = 700
TARGET, PLANTED = "out", "planted"  # below a case's folder: the only place to write to, and a trap
# Outcomes by category, for the summary at the end of the run.
counts: dict[str, Counter] = {}


class TooLong(BaseException):
    """No `Exception`, which a program may take for a fault of its input."""


def is_sentence(text: str) -> bool:
    return bool(text.strip()) and "\n" not in text and len(text) <= MAX_SENTENCE


def outcome_of(case: Case, number: int) -> str:
    """The word for what came of a case, or ``short: …`` for what it fell short of."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            outcome = case(number, folder)
        except UserError as error:
            outcome = "refused" if is_sentence(str(error)) else f"short: no sentence: {error}"
        except AssertionError as error:
            outcome = f"short: {error}"
        except BaseException as error:  # the search is for these
            outcome = f"short: {type(error).__name__}: {error}"
        if (folder / PLANTED).exists():
            outcome = "short: something was written outside of the target, or code was run"
        if list((folder / TARGET).rglob(".*")):
            outcome = "short: something was left half-written"
    return " ".join(outcome.split())[:300]


@contextlib.contextmanager
def limited(seconds: int) -> Iterator[None]:
    """End a case that takes longer, and fail one that wants more memory than `MEMORY_BYTES`."""

    def too_long(*_: object) -> None:
        raise TooLong(f"more than {seconds} s")

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGALRM, too_long)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY_BYTES, hard))
    signal.alarm(seconds)
    gc.freeze()  # each data set asks for a full collection
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        gc.unfreeze()
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def fuzz(case: Case, first: int, last: int) -> Counter:
    """Outcomes of the cases from ``first`` to before ``last``, in this process.

    Raises:
        AssertionError: with all that fell short.
    """
    outcomes = {}
    for number in range(first, last):
        with limited(SECONDS_EACH):
            outcomes[number] = outcome_of(case, number)
    return _judged(case.__module__, outcomes)


def fuzz_in_child(script: str, first: int, last: int) -> Counter:
    """`fuzz` in processes of their own: one that a case ends is followed by another."""
    outcomes, number = {}, first
    while number < last:
        command = [sys.executable, script, str(number), str(last)]
        run = subprocess.run(command, capture_output=True, text=True, errors="replace")
        for line in run.stdout.splitlines():
            told, tab, outcome = line.partition("\t")
            if tab and told.isdigit():
                outcomes[int(told)] = outcome
                number = int(told) + 1
        if number < last:
            outcomes[number] = f"short: status {run.returncode}: {run.stderr[-200:]}"
            number += 1
    return _judged(Path(script).stem, outcomes)


def run_child(case: Case) -> None:
    """The other end of `fuzz_in_child`: the script's own ``main``."""
    first, last = map(int, sys.argv[1:])
    out, sys.stdout = sys.stdout, sys.stderr
    for number in range(first, last):
        # Code in C that hangs sees no exception: this ends the process.
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (_cpu_seconds() + 3 * SECONDS_EACH, hard))
        with limited(SECONDS_EACH):
            outcome = outcome_of(case, number)
        print(number, outcome, sep="\t", file=out, flush=True)


def _cpu_seconds() -> int:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return int(usage.ru_utime + usage.ru_stime) + 1


def _judged(module: str, outcomes: dict[int, str]) -> Counter:
    short = {number: text for number, text in outcomes.items() if text.startswith("short")}
    category = module.rpartition(".")[2].removeprefix("test_")
    told = ("short" if number in short else text for number, text in outcomes.items())
    tally = Counter(told)
    counts.setdefault(category, Counter()).update(tally)
    assert not short, f"{len(short)} of {len(outcomes)}: " + "\n".join(
        f"{number}: {text}" for number, text in list(short.items())[:30]
    )
    return tally
