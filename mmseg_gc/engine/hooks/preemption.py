"""Stop a training between two iterations when its machine is asked back, or at Ctrl-C."""

import os
import shlex
import signal
import sys
import threading
import time
from contextlib import suppress

import torch
from mmengine.dist import barrier, get_world_size
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner

from mmseg_gc.engine.hooks.checkpoint import CheckpointHook
from mmseg_gc.processes import COMMAND_VARIABLE
from mmseg_gc.registry import HOOKS

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
ECHO = 1.0  # seconds in which several processes may have one Ctrl-C of terminal and launcher
NOTICE = b"\nFinishing the iteration and saving a checkpoint; Ctrl-C again stops at once.\n"


class Preempted(SystemExit):
    """Ends the process with 128 + the signal's number, as if it had: 143, 138 or 130."""


@HOOKS.register_module()
class PreemptionHook(Hook):
    """On SIGTERM, SIGUSR1 or Ctrl-C finish the iteration, save a checkpoint, and leave.

    Under several processes it's enough that one of them is signalled; on GPUs they know of it an
    iteration later. During a validation the state before it is saved, and the validation is made up
    for on resume. A second signal changes nothing, since schedulers send several, but Ctrl-C then
    stops at once. A training that counts epochs can't go on within one, so that it leaves what the
    last epoch saved.

    Raises:
        Preempted: a `SystemExit`, once the checkpoint is written.
        KeyboardInterrupt: at a second signal that is Ctrl-C.
    """

    priority = "LOWEST"

    def __init__(self):
        self.received = 0
        self._when = 0.0
        self._handlers: dict = {}

    def before_train(self, runner: Runner) -> None:
        runner.rank_flags.own_signal = lambda: self.received
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._note) for number in SIGNALS}

    def _note(self, number: int, frame: object) -> None:
        echo = get_world_size() > 1 and time.monotonic() - self._when < ECHO
        if number == signal.SIGINT and self.received and not echo:
            raise KeyboardInterrupt
        speaks = os.environ.get("LOCAL_RANK", "0") == "0"  # one of the ranks at this terminal
        if number == signal.SIGINT and not self.received and speaks:
            with suppress(OSError):  # not by print: the signal may have come in the midst of one
                os.write(2, NOTICE)
        if not self.received:
            self.received, self._when = number, time.monotonic()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        received = self.received
        if get_world_size() > 1:
            received = self._received_anywhere(runner)
        if received and runner.optim_wrapper.should_update():
            if not self.received:
                self._when = time.monotonic()  # its own signal may be about to come
            self.received = received
            hook = _checkpoint_hook(runner)
            if hook is not None:
                hook.save_iteration(runner, runner.iter + 1)
            barrier()  # a rank that leaves takes those that are still saving with it
            self._leave(runner, hook, runner.iter + 1)

    def _received_anywhere(self, runner: Runner) -> int:
        flags = runner.rank_flags
        if flags.newest != runner.iter:  # nobody looks at the losses
            device = next(runner.model.parameters()).device
            flags.send(runner.iter, torch.zeros((), dtype=torch.bool, device=device), [])
            flags.collect()
        return flags.signal

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: list | None = None,
    ) -> None:
        # Ranks have different numbers of images here, so that they can't agree; they needn't.
        if not self.received:
            return
        hook = _checkpoint_hook(runner)
        if hook is not None and runner.optim_wrapper.should_update():
            for ema in runner.hooks:
                if isinstance(ema, EMAHook):
                    ema.after_val_epoch(runner)  # puts the trained weights back
            hook.save_during_validation(runner)
        self._leave(runner, hook, runner.iter)

    def _leave(self, runner: Runner, hook: CheckpointHook | None, iterations: int) -> None:
        last = hook.last_ckpt if hook is not None else None
        runner.logger.warning(
            f"Stopped by {signal.Signals(self.received).name} after {iterations} iterations; "
            + (f"{_resuming()} goes on from {last}." if last else "nothing was saved yet.")
        )
        runner.visualizer.close()
        raise Preempted(128 + self.received)

    def release(self) -> None:
        """Give the signals back to whom they belonged before the training."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}


def _resuming() -> str:
    """The command line that goes on, where it is known."""
    words = ["python", *sys.argv]
    if "LOCAL_WORLD_SIZE" in os.environ:  # several processes, and each has another line
        words = shlex.split(os.environ.get(COMMAND_VARIABLE, ""))
    elif os.path.basename(sys.argv[0]) != "train.py":
        words = []
    words = [word for word in words if word != "--overwrite"]
    return shlex.join([*words, "--resume", "auto"])


def _checkpoint_hook(runner: Runner) -> CheckpointHook | None:
    return next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
