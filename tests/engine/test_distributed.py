"""Two processes over gloo: one big batch, one decision, one state."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmseg_gc.checkpoint import load_checkpoint

ENGINE = Path(__file__).parent


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """The folder that `ranks_toy.py` leaves, and the exit statuses of its runs."""
    folder = tmp_path_factory.mktemp("ranks")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ENGINE.parents[1]), str(ENGINE)])
    finished = subprocess.run(
        [sys.executable, ENGINE / "ranks_toy.py", folder],
        env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr[-2000:]
    return folder, json.loads((folder / "statuses.json").read_text())


def log(folder, name):
    return "".join((folder / f"{name}.{rank}.log").read_text() for rank in range(2))


def test_gradients_are_those_of_one_process_with_twice_the_batch(ranks):
    """The momentum after the first step is the gradient, with the weight's decay added."""
    folder, statuses = ranks
    assert statuses["two"] == [0, 0], log(folder, "two")[-2000:]
    one, two = (load_checkpoint(folder / name / "iter_1.pth") for name in ("one", "two"))
    for number, state in one["optimizer"]["state"].items():
        gradient = two["optimizer"]["state"][number]["momentum_buffer"]
        torch.testing.assert_close(gradient, state["momentum_buffer"], rtol=1e-4, atol=2e-6)
    largest = [float(s["momentum_buffer"].abs().max()) for s in one["optimizer"]["state"].values()]
    assert max(largest) > 0.1
    one, two = (load_checkpoint(folder / name / "iter_3.pth") for name in ("one", "two"))
    for name, value in one["state_dict"].items():
        torch.testing.assert_close(two["state_dict"][name], value, rtol=1e-4, atol=1e-6)


def test_a_signal_to_one_rank_stops_both_and_both_go_on(ranks, assert_same_end):
    folder, statuses = ranks
    assert statuses["peace"] == [0, 0], log(folder, "peace")[-2000:]
    assert statuses["stopped"] == [143, 143]
    assert len(load_checkpoint(folder / "run/iter_3.pth")["resume_state"]["random_states"]) == 2
    assert statuses["resumed"] == [0, 0]
    assert_same_end(folder / "run/iter_8.pth", folder / "peace/iter_8.pth")


def test_a_loss_of_nan_on_one_rank_stops_both_and_names_its_files(ranks):
    folder, statuses = ranks
    assert statuses["poisoned"] == [1, 1]
    output = log(folder, "poisoned")
    assert output.count("isn't finite in iteration 3 for image_") == 2
    assert not (folder / "poisoned/iter_4.pth").exists()
