"""The benchmark of converting and checking runs, on few files."""

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("nproc", [1, 2])
def test_both_contestants_run_and_agree(run_tool, nproc):
    counts = ("--files", 4, "--pictures", 1, "--rounds", 1, "--nproc", nproc)
    finished = run_tool("benchmarks/benchmark_datasets.py", *counts)
    assert finished.status == 0, finished.err
    rows = [line for line in finished.out.splitlines() if "/s" in line]
    assert len(rows) == 4
    assert all(float(cell) > 0 for row in rows for cell in row.split("|")[2:5])
