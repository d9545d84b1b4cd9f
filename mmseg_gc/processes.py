"""Pools of processes that work on files."""

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor

import cv2


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
