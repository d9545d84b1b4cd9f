"""Two processes over gloo: one big batch, one decision, one state."""

import os
import signal
import socket

import matplotlib.figure  # noqa: F401 - once, and not in every fork
import pytest
import torch
import torch._dynamo

from mmseg_gc.checkpoint import load_checkpoint


@pytest.fixture(scope="module")
def ranks(toy, fork, tmp_path_factory):
    """The folder of the trainings by two ranks, and both exit statuses of each.

    ``peace`` goes to the end; of ``run`` one rank alone is signalled, and it is resumed; in
    ``poisoned`` one rank's loss is NaN; ``two`` has half the batch of ``one``, a single process.
    """
    folder = tmp_path_factory.mktemp("ranks")

    def run_ranks(name: str, of_rank_1: dict | None = None, **keys) -> list[int]:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = str(server.getsockname()[1])
        common = dict(WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
        ranks = []
        for rank in range(2):
            own = keys | (of_rank_1 or {}) if rank == 1 else keys
            ranks.append(
                fork(
                    lambda own=own: toy.build(folder / name, launcher="pytorch", **own).train(),
                    folder / f"{name}.{rank}.log",
                    RANK=str(rank),
                    LOCAL_RANK=str(rank),
                    **common,
                )
            )
        return [os.waitstatus_to_exitcode(os.waitpid(rank, 0)[1]) for rank in ranks]

    stop = toy.DoHook(lambda runner: os.kill(os.getpid(), signal.SIGTERM), "before_train_iter", 2)
    exact = {"iterations": 3, "model.dropout": 0.0, "default_hooks.checkpoint.interval": 1}
    statuses = {
        "peace": run_ranks("peace"),
        "stopped": run_ranks("run", of_rank_1=dict(hooks=[stop])),
        "resumed": run_ranks("run"),
        "poisoned": run_ranks("poisoned", of_rank_1=dict(poison=(3,))),
        "two": run_ranks("two", **exact),
    }
    toy.build(folder / "one", batch_size=4, **exact).train()
    return folder, statuses


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
