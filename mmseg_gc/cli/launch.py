"""``python -m mmseg_gc.cli.launch``: torchrun, with its arguments, that ends without tracebacks."""

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from torch.distributed import run as torchrun
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from mmseg_gc.cli.command import cli
from mmseg_gc.processes import LAUNCHER_VARIABLE

# Its default of 30 seconds may cut off an iteration and the checkpoint after it.
SECONDS_TO_SAVE = 600
SIGNALS = "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"
SAVED = tuple(128 + number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1))


@cli
def main() -> int:
    """Run what the command line says; the exit status is that of the rank that ended first.

    Signals go on to the ranks, which save and end; a second Ctrl-C kills them.
    """
    os.environ[LAUNCHER_VARIABLE] = str(os.getpid())
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(SECONDS_TO_SAVE))
    for name in ("agent.server.api", "multiprocessing.api"):  # several lines for every signal
        logging.getLogger(f"torch.distributed.elastic.{name}").setLevel(logging.CRITICAL)
    _watch_signals()
    try:
        torchrun.main([f"--signals-to-handle={SIGNALS}", *sys.argv[1:]])
    except SignalException as stopped:
        return 128 + stopped.sigval
    except ChildFailedError as failed:
        rank, failure = failed.get_first_failure()
        code = failure.exitcode
        how = f"exit status {code}" if code >= 0 else signal.Signals(-code).name
        if code not in SAVED:
            print(f"Rank {rank} (process {failure.pid}) ended by {how}.", file=sys.stderr)
        return code if code >= 0 else 128 - code
    return 0


def _watch_signals() -> None:
    """Kill the ranks at the second Ctrl-C, while torchrun still waits for what the first began."""
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)

    def watch() -> None:
        pressed = 0
        with writer:
            while number := reader.recv(1):
                pressed += number[0] == signal.SIGINT
                if pressed > 1:
                    for rank in _ranks():
                        os.killpg(rank, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def _ranks() -> Iterator[int]:
    """The processes that torchrun has started, each in a session of its own; on Linux alone."""
    for path in Path("/proc/self/task").glob("*/children"):
        for child in map(int, path.read_text().split()):
            try:
                if os.getsid(child) == child:
                    yield child
            except ProcessLookupError:
                pass


if __name__ == "__main__":
    main()
