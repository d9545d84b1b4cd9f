"""How processes begin, and that none outlives those that it works for."""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress

import cv2

# What `mmseg_gc.cli.launch` and those who start it tell the ranks by.
LAUNCHER_VARIABLE = "MMSEG_GC_LAUNCHER"  # its process id
COMMAND_VARIABLE = "MMSEG_GC_COMMAND"  # the command line that a person typed
PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>


def process_pool(num_processes: int, *modules: str) -> ProcessPoolExecutor:
    """A pool whose processes use one thread each, ignore Ctrl-C, and end with their parent.

    They are forked from a fresh process: one forked from here could wait for ever for a lock that
    a thread of OpenCV or torch held at that moment. That process imports ``modules`` once for all.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cv2", *modules])
    return ProcessPoolExecutor(num_processes, mp_context=context, initializer=_start)


def _start() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops the work on Ctrl-C
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)  # no orphans after a SIGKILL


def end_with_launcher() -> None:
    """Have the system send SIGTERM to this process, if torchrun started it, when torchrun is gone.

    A torchrun that is killed can't stop its ranks, which would train on, holding GPUs and port.
    With SIGTERM they save and end. Elsewhere than on Linux nothing happens.
    """
    if sys.platform != "linux" or "TORCHELASTIC_RUN_ID" not in os.environ:
        return
    launcher = os.getppid()
    with suppress(OSError, AttributeError):  # a C library without it
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    # It may have died before that.
    if os.getppid() != launcher or not _lives(os.environ.get(LAUNCHER_VARIABLE, "")):
        os.kill(os.getpid(), signal.SIGTERM)


def _lives(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (ValueError, OverflowError, PermissionError):  # not told, or another user's
        pass
    return True
