"""Distributed training: one process over NCCL, and two where there are two GPUs."""

import tempfile
from functools import partial
from pathlib import Path

import torch

from gpu_check.check import Check, CheckFailed, SkipCheck
from gpu_check.setting import Setting
from gpu_check.short_training import AMP, BATCH, NO_DROPOUT, train, train_apart, training_config

ITERATIONS = 4


def ranks_agree(setting: Setting, ranks: int) -> str:
    """Under AMP: the losses of one plain process with that batch, and one state on all ranks."""
    if setting.cuda and torch.cuda.device_count() < ranks:
        raise SkipCheck(f"this machine has {torch.cuda.device_count()} GPU")
    options = AMP | NO_DROPOUT
    of_a_rank = options | {"train_dataloader.batch_size": BATCH // ranks}
    with tempfile.TemporaryDirectory() as folder:
        told = train_apart(
            setting,
            Path(folder, "ranks"),
            ITERATIONS,
            of_a_rank,
            device=setting.device,
            ranks=ranks,
        )
        want, _ = train(training_config(setting, Path(folder, "one"), ITERATIONS, options))
    found = [sum(losses) / ranks for losses in zip(*(one.losses for one in told), strict=True)]
    worst = max(abs(a - b) / b for a, b in zip(found, want, strict=True))
    backend = "nccl" if setting.cuda else "gloo"
    note = f"{told[0].wrapper} over {told[0].backend}, losses at most {worst:.1e} off one process"
    if {one.backend for one in told} != {backend}:
        raise CheckFailed(f"{note}; not {backend}")
    if "DistributedDataParallel" not in told[0].wrapper:
        raise CheckFailed(f"{note}; the model isn't wrapped")
    if len({one.weights for one in told}) > 1:
        raise CheckFailed(f"{note}; ranks end with different weights")
    if not worst < 0.02:
        raise CheckFailed(f"{note}: {found}, not {want}")
    return note


CHECKS = [
    Check(
        f"ddp/{ranks}",
        f"{what} under DDP and AMP, with the losses of a plain one",
        partial(ranks_agree, ranks=ranks),
        limit=120,
    )
    for ranks, what in ((1, "one process"), (2, "two processes"))
]
