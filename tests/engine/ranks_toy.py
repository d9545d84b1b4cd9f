"""A program: the toy training on two gloo processes, forked so that torch is imported once.

``ranks_toy.py FOLDER`` runs, in folders of their own: ``peace`` to the end; ``run``, of which one
rank alone is signalled, and goes on; ``poisoned``, where one rank's loss is NaN. Then it runs
``one``, a single process of twice the batch, and prints the exit statuses as JSON.
"""

import json
import os
import signal
import socket
import sys
import traceback
from pathlib import Path

import matplotlib.figure  # noqa: F401 - once, and not in every fork
import torch
import torch._dynamo
import toy_training as toy


def run_ranks(folder: Path, **keys) -> list[int]:
    """The exit statuses of both ranks; ``keys`` with ``rank_1`` are hooks of that rank alone."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    ranks = [fork(rank, port, folder, **keys) for rank in range(2)]
    return [os.waitstatus_to_exitcode(os.waitpid(rank, 0)[1]) for rank in ranks]


def fork(rank: int, port: str, folder: Path, rank_1: tuple = (), poison_1: tuple = (), **keys):
    child = os.fork()
    if child:
        return child
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2")
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    log = os.open(folder.with_suffix(f".{rank}.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    status = 1
    try:
        keys |= dict(hooks=rank_1, poison=poison_1) if rank == 1 else {}
        toy.build(folder, launcher="pytorch", **keys).train()
        status = 0
    except SystemExit as stopped:
        status = stopped.code
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    stop = toy.DoHook(lambda runner: os.kill(os.getpid(), signal.SIGTERM), "before_train_iter", 2)
    exact = {"model.dropout": 0.0, "default_hooks.checkpoint.interval": 1}
    statuses = {
        "peace": run_ranks(folder / "peace"),
        "stopped": run_ranks(folder / "run", rank_1=(stop,)),
        "resumed": run_ranks(folder / "run"),
        "poisoned": run_ranks(folder / "poisoned", poison_1=(3,)),
        "two": run_ranks(folder / "two", iterations=3, **exact),
    }
    toy.build(folder / "one", iterations=3, batch_size=4, **exact).train()
    (folder / "statuses.json").write_text(json.dumps(statuses))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
