"""Run checks one after the other until the time is over, and say how it went."""

import faulthandler
import gc
import logging
import sys
import time
import warnings
from collections.abc import Sequence

import torch

from gpu_check.check import Check, Outcome, run_check
from gpu_check.setting import Setting
from gpu_check.speed_checks import Figures, Rates, sides_of
from gpu_check.system import describe
from gpu_check.table import table

GRACE = 45  # seconds after which a call that never comes back to Python ends the whole run
FEWEST = 5  # seconds that a check is begun with


def run_all(checks: Sequence[Check], setting: Setting, seconds: float) -> int:
    """Print a line a check, then a summary; the exit status, 1 if any failed."""
    start = time.monotonic()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    faulthandler.dump_traceback_later(seconds + GRACE, exit=True, file=sys.__stderr__)
    print(describe(setting.device), flush=True)
    outcomes = []
    for check in checks:
        left = seconds - (time.monotonic() - start)
        if left < FEWEST:
            outcome = Outcome(check.name, "skipped", "the time of the whole run is over")
        else:
            outcome = run_check(check, setting, left)
        outcomes.append(outcome)
        print(f"[{time.monotonic() - start:4.0f} s] {line(outcome)}", flush=True)
        gc.collect()
        if setting.cuda:
            torch.cuda.empty_cache()
    faulthandler.cancel_dump_traceback_later()
    sides_of(setting).stop()
    figures = [outcome.found for outcome in outcomes if isinstance(outcome.found, Figures)]
    rates = next((outcome.found for outcome in outcomes if isinstance(outcome.found, Rates)), None)
    if figures:
        print(f"\n{table(describe(setting.device), rates, figures)}\n")
    print(summary(outcomes))
    return int(any(outcome.verdict == "FAIL" for outcome in outcomes))


def line(outcome: Outcome) -> str:
    return f"{outcome.verdict:7}  {outcome.name}: {outcome.note}"


def summary(outcomes: Sequence[Outcome]) -> str:
    count = {v: sum(o.verdict == v for o in outcomes) for v in ("ok", "FAIL", "skipped")}
    text = f"{count['ok']} ok, {count['FAIL']} failed, {count['skipped']} skipped"
    failed = [outcome.name for outcome in outcomes if outcome.verdict == "FAIL"]
    return f"{text}; failed: {' '.join(failed)}" if failed else text
