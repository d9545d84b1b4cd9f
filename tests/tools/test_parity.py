"""The comparing half of tools/benchmarks/parity.py; the whole of it where there is a reference."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "tools" / "benchmarks"
PEER = os.environ.get("MMSEG_GC_PEER_PYTHON")
NAN = float("nan")


@pytest.fixture
def parts(monkeypatch):
    """The modules `compare`, `configs` and `side`."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from parity_checks import compare, configs, side

    yield compare, configs, side
    for name in [name for name in sys.modules if name.startswith("parity_checks")]:
        del sys.modules[name]


@pytest.fixture
def compare(parts):
    return parts[0]


def test_relative_is_measured_at_the_largest_value(compare):
    a, b = torch.tensor([100.0, 1.0]), torch.tensor([100.0, 1.5])
    assert compare.relative(a, b) == pytest.approx(0.005)
    assert compare.relative_each(a, b) == pytest.approx(0.5)


def test_relative_of_zeros_and_of_round_off(compare):
    zeros = torch.zeros(3)
    assert compare.relative(zeros, zeros) == 0
    assert compare.relative(zeros, zeros + 1e-12) == pytest.approx(1e-6)
    assert compare.relative(zeros, zeros + 1e-3) == pytest.approx(1e3)
    assert compare.relative_each(zeros, torch.ones(3)) == float("inf")


@pytest.mark.parametrize("name", ["relative", "relative_each", "absolute"])
def test_nan_must_meet_nan(compare, name):
    difference = getattr(compare, name)
    assert difference(torch.tensor([1.0, NAN]), torch.tensor([1.0, NAN])) == 0
    assert difference(torch.tensor([1.0, NAN]), torch.tensor([1.0, 2.0])) == float("inf")
    assert difference(torch.tensor([1.0, 2.0]), torch.tensor([1.0, NAN])) == float("inf")


def test_labels_may_differ_in_type_but_not_arrays(compare):
    a = torch.tensor([0, 1, 2, 200])
    assert compare.share_unequal(a, a.to(torch.uint8)) == 0
    assert compare.share_unequal(a, torch.tensor([0, 1, 3, 200])) == 0.25
    assert compare.count_unequal(a, a.to(torch.uint8)) == 4
    assert compare.count_unequal("(1, 2)", "(2, 1)") == 1


def test_counts_add_up_and_of_differences_the_worst_holds(compare):
    same, other = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.5])
    (exact,) = compare.compare(
        {"exact": {"r": {"a": same, "b": same, "c": "x"}}},
        {"exact": {"r": {"a": other, "b": same, "c": "y"}}},
    )
    assert (exact.worst, exact.ok, exact.cases) == (2, False, 3)
    (scores,) = compare.compare(
        {"scores": {"r": {"a": same, "b": same}}}, {"scores": {"r": {"a": same, "b": other}}}
    )
    assert scores.worst == pytest.approx(0.25)
    assert scores.detail.startswith("b: reference tensor")


@pytest.mark.parametrize(
    "ours",
    [
        {},
        {"scores": {}},
        {"scores": {"r": {}}},
        {"scores": {"r": {"a": torch.ones(3)}}},
        {"scores": {"r": {"a": "text"}}},
        {"scores": {"r": {"a": torch.tensor([1.0, NAN])}}},
    ],
)
def test_what_is_missing_or_of_another_shape_differs(compare, ours):
    (row,) = compare.compare({"scores": {"r": {"a": torch.ones(2)}}}, ours)
    assert not row.ok and row.worst == float("inf")


def test_a_row_without_cases_and_a_nan_do_not_pass(compare):
    (row,) = compare.compare({"scores": {"r": {}}}, {"scores": {"r": {}}})
    assert not row.ok
    assert not compare.Row("r", NAN, 1, "", 1, "").ok


def test_a_fault_on_either_side_counts(compare):
    rows = compare.compare(
        {"faults": {"r": {"a": "", "b": "TypeError: x"}}}, {"faults": {"r": {"a": "", "b": ""}}}
    )
    text = compare.table(rows)
    assert rows[0].worst == 1
    assert "DIFFERS" in text and "TypeError: x" in text and "0 of 1 checks agree." in text


def test_tolerances_are_those_promised(compare):
    assert compare.MEASURES["scores"].tolerance == 1e-4
    assert compare.MEASURES["labels"].tolerance == 1e-4
    assert compare.MEASURES["figures"].tolerance == 1e-6
    assert compare.MEASURES["exact"].tolerance == compare.MEASURES["faults"].tolerance == 0


def test_sixteen_configs_and_their_leaves(parts):
    _, configs, side = parts
    names = [path.name for path in configs.zoo(BENCHMARKS.parents[1] / "configs")]
    assert len(names) == 16
    for name in side.CONFIGS.values():
        assert {name.format(50), name.format(101)} <= set(names)
    leaves = dict(configs._leaves({"a": [{"b": (1, 2)}, {}], "c": {"d": None}, "e": [3]}))
    assert leaves == {"a.0.b": [1, 2], "a.1": {}, "c.d": None, "e": [3]}


def test_checks_name_functions_that_exist(parts):
    import importlib

    worker = importlib.import_module("parity_checks.worker")
    for module, function in worker.CHECKS.values():
        assert callable(getattr(importlib.import_module(f"parity_checks.{module}"), function))


def test_without_a_reference_one_sentence_says_how_to_get_it(run_tool, tmp_path):
    gone = run_tool("benchmarks/parity.py", "--peer", tmp_path / "python")
    assert gone.status == 1
    assert "can't be started" in gone.err and "setup_peer.sh" in gone.err
    empty = run_tool("benchmarks/parity.py", "--peer", sys.executable)
    assert empty.status == 1
    assert "no usable mmsegmentation (ModuleNotFoundError" in empty.err


@pytest.mark.slow
@pytest.mark.skipif(not PEER, reason="MMSEG_GC_PEER_PYTHON names no reference's python")
def test_parity_with_the_reference(tmp_path):
    out = tmp_path / "rows.json"
    command = [sys.executable, BENCHMARKS / "parity.py", "--peer", PEER, "--json", out]
    finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stdout[-5000:] + finished.stderr[-2000:]
    assert all(row["ok"] for row in json.loads(out.read_text()))
