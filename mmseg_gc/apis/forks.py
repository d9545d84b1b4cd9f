"""Processes that are forked from one that holds a model."""

import functools
import logging
import os

import torch
from mmengine.logging import print_log

kept_alone = False  # whether this process was put on one thread, and hasn't said so yet


@functools.cache
def keep_forks_from_hanging() -> None:
    """From now on, let what is forked from this process compute on one thread.

    The threads that libgomp has started here aren't in the fork, where several would wait for them
    for ever. Load a model after the fork, or start processes by "spawn", to have them all.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_compute_alone)


def _compute_alone() -> None:
    global kept_alone
    if torch.get_num_threads() > 1:
        torch.set_num_threads(1)
        kept_alone = True


def tell_of_fork() -> None:
    """Warn once that this process was put on one thread."""
    global kept_alone
    if kept_alone:
        kept_alone = False
        print_log(
            "This process was forked from one that had loaded a model, and so it computes on one "
            "thread: load the model after the fork to use all.",
            logger="current",
            level=logging.WARNING,
        )
