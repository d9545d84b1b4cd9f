"""What a check is, and how one is run within a bound of time."""

import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gpu_check.setting import Setting


class CheckFailed(Exception):
    """The message says what was found and what should have been."""


class SkipCheck(Exception):
    """The message says why there is nothing to check here."""


class OutOfTime(BaseException):
    """Not an Exception, so that no library takes it for a failure of its own."""


class Check(NamedTuple):
    """``function(setting)`` returns what it found in a few words, or raises.

    What it returns may also be figures for the table, which say themselves in words as ``str``.
    ``limit`` is how many seconds it may take; a card that hangs must not hold up the others.
    """

    name: str
    says: str
    function: Callable[..., object]
    limit: float = 60


class Outcome(NamedTuple):
    """``verdict`` is ok, FAIL or skipped; ``found`` is what a check that is ok returned."""

    name: str
    verdict: str
    note: str
    found: object = None


def run_check(check: Check, setting: "Setting", seconds: float) -> Outcome:
    """Run ``check`` for at most its limit, or ``seconds`` if fewer are left of all."""
    allowed = check.limit * setting.patience
    limit = min(allowed, seconds)
    try:
        with time_limit(limit):
            found = check.function(setting)
    except SkipCheck as reason:
        return Outcome(check.name, "skipped", str(reason))
    except CheckFailed as failure:
        return Outcome(check.name, "FAIL", str(failure))
    except OutOfTime:
        if limit < allowed:
            return Outcome(check.name, "skipped", "the time of the whole run is over")
        return Outcome(check.name, "FAIL", f"took longer than the {limit:.0f} s it may")
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        reason = " ".join(str(error).split())[:300]
        where = f"{place.filename.rsplit('/', 1)[-1]}:{place.lineno}"
        return Outcome(check.name, "FAIL", f"{type(error).__name__} at {where}: {reason}")
    return Outcome(check.name, "ok", str(found), found)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `OutOfTime` inside after ``seconds``, at the next line of Python."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread alone
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
