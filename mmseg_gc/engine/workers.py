"""How the processes of a data loader begin and end, and what they do about signals."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.dataset import worker_init_fn
from mmengine.runner import Runner


def start_worker(
    worker_id: int,
    num_workers: int,
    rank: int,
    seed: int | None,
    disable_subprocess_warning: bool = False,
) -> None:
    """Seed a worker as mmengine does, and let it outlive the signals that stop a training.

    slurm and torchrun signal every process of a job at once, and the iteration that the main
    process finishes then may still need samples.
    """
    if seed is not None:
        worker_init_fn(worker_id, num_workers, rank, seed, disable_subprocess_warning)
    for number in (signal.SIGUSR1, signal.SIGINT):  # Ctrl-C reaches all of a terminal's processes
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_leave_when_asked_by_parent, daemon=True).start()


def _leave_when_asked_by_parent() -> None:
    """SIGTERM from the main process ends its workers; from others it's the main process's."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


@contextmanager
def ending_workers(runner: Runner) -> Iterator[None]:
    """At the end, let the processes go that the loaders of ``runner`` keep for another epoch.

    Those of a runner that is collected as garbage are past being told, and torch gives each of them
    five seconds.
    """
    try:
        yield
    finally:
        for loop in (runner._train_loop, runner._val_loop, runner._test_loop):
            loader: Any = getattr(loop, "dataloader", None)
            for holder in (loader, getattr(loop, "dataloader_iterator", None)):
                iterator: Any = getattr(holder, "_iterator", None)
                if hasattr(iterator, "_shutdown_workers"):
                    iterator._shutdown_workers()
            if hasattr(loader, "_iterator"):
                loader._iterator = None  # the next epoch begins with others
