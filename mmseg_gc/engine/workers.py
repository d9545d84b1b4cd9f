"""How the processes of a data loader begin, and what they do about signals."""

import os
import signal
import threading

from mmengine.dataset import worker_init_fn


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
