"""Compare what both sides computed, and print the table."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from prettytable import PrettyTable
from torch import Tensor

Value = Tensor | str


# A tensor that stays below this is round-off itself: the attention's bias, which softmax cancels.
FLOOR = 1e-6


def relative(reference: Tensor, ours: Tensor) -> float:
    """The largest difference in units of the reference's largest value; NaN must meet NaN."""
    reference, ours = reference.double(), ours.double()
    known = ~reference.isnan()
    if not torch.equal(known, ~ours.isnan()):
        return float("inf")
    reference, ours = reference[known], ours[known]
    if torch.equal(reference, ours):  # also zeros, infinities and nothing at all
        return 0.0
    return float((reference - ours).abs().max() / reference.abs().max().clamp(min=FLOOR))


def relative_each(reference: Tensor, ours: Tensor) -> float:
    """The largest difference in units of the reference's value at the same place."""
    reference, ours = reference.double(), ours.double()
    known = ~reference.isnan()
    if not torch.equal(known, ~ours.isnan()):
        return float("inf")
    reference, ours = reference[known], ours[known]
    differs = reference != ours
    if not differs.any():
        return 0.0
    return float(((reference - ours).abs() / reference.abs())[differs].max())


def absolute(reference: Tensor, ours: Tensor) -> float:
    """The largest difference; NaN must meet NaN."""
    if not torch.equal(reference.isnan(), ours.isnan()):
        return float("inf")
    return float((reference - ours).nan_to_num(0).abs().max())


def share_unequal(reference: Tensor, ours: Tensor) -> float:
    """The share of unequal values, whatever their integer types."""
    return float((reference.long() != ours.long()).double().mean())


def count_unequal(reference: Value, ours: Value) -> float:
    """How many values differ; a text counts as one, another type as a difference of all."""
    if isinstance(reference, str):
        return float(reference != ours)
    if reference.dtype != ours.dtype:
        return float(reference.numel())
    return float((reference != ours).sum())


def count_faults(reference: str, ours: str) -> float:
    """1 if either side reports a fault, else 0."""
    return float(bool(reference or ours))


class Measure(NamedTuple):
    difference: Callable[[Value, Value], float]
    tolerance: float
    says: str
    adds_up: bool = False  # counts add up over the cases of a row; of other figures the worst holds


MEASURES = {
    "scores": Measure(relative, 1e-4, "relative to the largest score"),
    "labels": Measure(share_unequal, 1e-4, "share of pixels"),
    "losses": Measure(relative, 1e-4, "relative"),
    "gradients": Measure(relative, 1e-4, "relative"),
    # See `training.steps` for these four.
    "losses, float64": Measure(relative, 1e-9, "relative"),
    "parameters, float64": Measure(relative, 1e-9, "relative to the tensor's largest"),
    "losses, float32": Measure(relative, 1e-5, "relative"),
    "parameters, float32": Measure(relative, 1e-5, "relative to the tensor's largest"),
    "figures": Measure(relative_each, 1e-6, "relative, before rounding"),
    "printed figures": Measure(absolute, 0.0100001, "percent, two digits"),
    "exact": Measure(count_unequal, 0, "values unequal", adds_up=True),
    "faults": Measure(count_faults, 0, "failures", adds_up=True),
}


class Row(NamedTuple):
    check: str
    worst: float
    tolerance: float
    measured: str
    cases: int
    detail: str  # the worst case, if it differs

    @property
    def ok(self) -> bool:
        return self.worst <= self.tolerance  # False for NaN


def compare(reference: dict, ours: dict) -> list[Row]:
    """The rows of one check from the two sides' results, `parity_checks.side.Results`."""
    rows = []
    for name in dict.fromkeys([*reference, *ours]):
        measure, theirs, mine = MEASURES[name], reference.get(name, {}), ours.get(name, {})
        for check in dict.fromkeys([*theirs, *mine]):
            rows.append(_row(check, measure, theirs.get(check, {}), mine.get(check, {})))
    return rows


def _row(check: str, measure: Measure, reference: dict, ours: dict) -> Row:
    found = {
        case: _difference(measure, reference.get(case), ours.get(case))
        for case in dict.fromkeys([*reference, *ours])
    }
    # A row that compares nothing must not pass.
    case = max(found, key=lambda c: (found[c] != found[c], found[c])) if found else "no case"
    worst = found.get(case, float("nan"))
    if measure.adds_up and found:
        worst = sum(found.values())
    row = Row(check, worst, measure.tolerance, measure.says, len(found), "")
    if row.ok:
        return row
    sides = [" ".join(str(side.get(case)).split())[:300] for side in (reference, ours)]
    return row._replace(detail=f"{case}: reference {sides[0]} | ours {sides[1]}")


def _difference(measure: Measure, reference: Value | None, ours: Value | None) -> float:
    if type(reference) is not type(ours):
        return float("inf")
    if isinstance(reference, Tensor) and reference.shape != ours.shape:
        return float("inf")
    return measure.difference(reference, ours)


def table(rows: list[Row]) -> str:
    """The rows as text, and below it the worst case of each that differs."""
    out = PrettyTable(["check", "cases", "worst difference", "tolerance", "measured", ""])
    out.align.update(
        {"check": "l", "measured": "l", "cases": "r", "worst difference": "r", "tolerance": "r"}
    )
    for row in rows:
        result = "ok" if row.ok else "DIFFERS"
        worst = f"{row.worst:.3g}"
        out.add_row([row.check, row.cases, worst, f"{row.tolerance:.3g}", row.measured, result])
    details = [f"DIFFERS: {row.check}: {row.detail}" for row in rows if not row.ok]
    good = sum(row.ok for row in rows)
    return "\n".join([out.get_string(), *details, f"{good} of {len(rows)} checks agree."])
