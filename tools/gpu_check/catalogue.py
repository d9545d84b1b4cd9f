"""All checks, in the order in which they run: what is right comes before what is fast."""

from collections.abc import Sequence

from gpu_check import (
    compile_checks,
    label_checks,
    loss_checks,
    process_checks,
    resume_checks,
    speed_checks,
    training_checks,
    wait_checks,
)
from gpu_check.check import Check
from mmseg_gc.errors import UserError

# Those of `pytest -m gpu`.
CORRECTNESS = [
    *label_checks.CHECKS,
    *loss_checks.CHECKS,
    *training_checks.CHECKS,
    *resume_checks.CHECKS,
    *process_checks.CHECKS,
    *wait_checks.CHECKS,
    *compile_checks.CHECKS,
]
CHECKS = [*CORRECTNESS, *speed_checks.CHECKS]


def choose(only: Sequence[str] | None) -> list[Check]:
    """The checks named, or of which the first word is named; all by default.

    Raises: UserError for a name that there isn't.
    """
    if only is None:
        return CHECKS
    known = {name for check in CHECKS for name in (check.name, _first_word(check))}
    for name in only:
        if name not in known:
            groups = ", ".join(dict.fromkeys(map(_first_word, CHECKS)))
            raise UserError(
                f"--only: there is no check {name!r}; choose from {groups}, or from the names that "
                "--list gives."
            )
    return [check for check in CHECKS if {check.name, _first_word(check)} & set(only)]


def _first_word(check: Check) -> str:
    return check.name.split("/")[0]


def listing(checks: Sequence[Check]) -> str:
    width = max(len(check.name) for check in checks)
    return "\n".join(f"{check.name:{width}}  {check.says}" for check in checks)
