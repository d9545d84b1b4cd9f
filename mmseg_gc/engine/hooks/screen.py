"""What a person wants to see of a run: what runs, how far it is, and what came of it."""

import sys
import time
from collections import deque
from dataclasses import dataclass
from datetime import timedelta

from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook, LoggerHook
from mmengine.runner import Runner
from torch import Tensor
from tqdm import tqdm

from mmseg_gc.engine.console import AboveBars, screen_handlers
from mmseg_gc.engine.late_values import OnTheirWay
from mmseg_gc.engine.screen_text import (
    batch_size,
    duration,
    figures_text,
    test_result,
    test_summary,
    training_result,
    training_summary,
)
from mmseg_gc.registry import HOOKS

EARLY = (1, 2, 5, 10)  # iterations that have a line of their own
ESTIMATED_AT = 5  # the iteration after which the whole time is told; the first ones are slow
SECONDS_TO_READ = 1.0  # from one change of the bar's figures to the next


@dataclass
class _Told:
    """The figures of an iteration, of which losses may still be on their way from a GPU."""

    iteration: int
    seconds: float
    rate: float
    losses: OnTheirWay


@HOOKS.register_module()
class ScreenHook(Hook):
    """Print ten lines before a run, a bar or lines while it trains, and its result.

    A terminal gets the bar; what goes to a file gets a line for iterations 1, 2, 5 and 10 and then
    one an interval of the logger's, whose figures read as in mmengine's log (``lr: 1.0000e-02``,
    ``loss: 0.6931``), since scripts look for these. ``config`` is what the command was given, for
    the commands that come next. Goes with the key ``screen="brief"``, which leaves the rest to the
    log's file. The host never waits for a loss: it is told when it has come.
    """

    priority = "VERY_LOW"

    def __init__(self, config: str = "CONFIG"):
        self.config = config
        self.bar: tqdm | None = None
        self._is_terminal = sys.stderr.isatty()
        self._seconds = self._seconds_of_first = 0.0  # of training, without validation
        self._rate = 0.0
        self._last = self._read_at = 0.0
        self._first = 0
        self._waiting: deque[_Told] = deque()

    def before_train(self, runner: Runner) -> None:
        if not is_main_process():
            return
        self._say_summary(training_summary(runner))
        self._last = time.monotonic()
        self._first = runner.iter
        if self._is_terminal:
            self.bar = tqdm(
                total=runner.max_iters, initial=runner.iter, unit="iter", dynamic_ncols=True
            )
            for handler in screen_handlers():  # warnings get lines of their own
                handler.stream = AboveBars(handler.stream)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        # Afterwards it is the next iteration's. The base rate is what the config names.
        rates = runner.optim_wrapper.get_lr()
        self._rate = (rates.get("base_lr") or next(iter(rates.values())))[0]

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        if not is_main_process():
            return
        done, now = runner.iter + 1, time.monotonic()
        number = done - self._first
        self._seconds, self._last = self._seconds + now - self._last, now
        if number == 1:
            self._seconds_of_first = self._seconds
        if self._is_due(runner, number, done, now):
            self._read_at = now
            losses = {
                name: value
                for name, value in (outputs or {}).items()
                if isinstance(value, Tensor) and value.numel() == 1
            }
            sent = OnTheirWay(losses)
            self._waiting.append(_Told(done, self._seconds, self._rate, sent))
        if self.bar is not None:
            self.bar.update()
        self._tell(runner, wait=False)

    def before_val_epoch(self, runner: Runner) -> None:
        self._tell(runner, wait=True)
        self._read_at = 0.0  # the bar tells of it at once

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: object = None,
    ) -> None:
        now = time.monotonic()
        if self.bar is not None and now - self._read_at > SECONDS_TO_READ:
            self._read_at = now
            self.bar.set_postfix_str(f"validation {batch_idx + 1}/{len(runner.val_dataloader)}")

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        self._last = time.monotonic()
        if is_main_process() and metrics:
            self._say(f"validation at {runner.iter}: {figures_text(metrics)}")

    def after_train(self, runner: Runner) -> None:
        if not is_main_process():
            return
        self._tell(runner, wait=True)
        self.close()
        for line in training_result(runner, self.config):
            self._say(line)

    def before_test(self, runner: Runner) -> None:
        if is_main_process():
            self._say_summary(test_summary(runner))

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        if is_main_process():
            for line in test_result(runner, metrics):
                self._say(line)

    def close(self) -> None:
        """End the bar, so that what follows begins on a line of its own."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None
            for handler in screen_handlers():
                handler.stream = getattr(handler.stream, "below", handler.stream)

    def _is_due(self, runner: Runner, number: int, done: int, now: float) -> bool:
        if number in EARLY or done == runner.max_iters:
            return True
        if self.bar is not None:
            return now - self._read_at > SECONDS_TO_READ
        return done % _log_interval(runner) == 0

    def _tell(self, runner: Runner, *, wait: bool) -> None:
        """Show what has come; ``wait`` is for the end, where the host waits for the GPU anyway."""
        while self._waiting:
            told = self._waiting[0]
            if not wait and not told.losses.have_come:
                return
            self._waiting.popleft()
            self._show(runner, told)

    def _show(self, runner: Runner, told: _Told) -> None:
        number = told.iteration - self._first
        seconds = told.seconds / number
        if number > 1:  # the first one may take many times as long
            seconds = (told.seconds - self._seconds_of_first) / (number - 1)
        left = seconds * (runner.max_iters - told.iteration)
        images = (batch_size(runner.train_dataloader) or 0) * get_world_size()
        speed = f"{images / max(seconds, 1e-9):.3g} images/s"
        losses = told.losses.values()
        if self.bar is not None:
            loss = [f"loss {losses['loss']:.4g}"] if "loss" in losses else []
            self.bar.set_postfix_str("  ".join([*loss, f"lr {told.rate:.3g}", speed]))
        else:
            figures = dict(lr=f"{told.rate:.4e}", eta=timedelta(seconds=round(left)))
            figures |= {name: f"{value:.4f}" for name, value in losses.items()}
            text = "  ".join(f"{name}: {figure}" for name, figure in figures.items())
            self._say(f"Iter(train) [{told.iteration}/{runner.max_iters}]  {text}  {speed}")
        if number == ESTIMATED_AT and told.iteration < runner.max_iters:
            self._say(f"{'estimate':<10} {duration(told.seconds + left)} of training, {speed}")

    def _say_summary(self, lines: dict[str, str]) -> None:
        for name, text in lines.items():
            self._say(f"{name:<10} {text}")

    def _say(self, text: str) -> None:
        if self.bar is not None:
            self.bar.write(text, file=sys.stdout)
        else:
            print(text, flush=True)


def _log_interval(runner: Runner) -> int:
    loggers = [hook for hook in runner.hooks if isinstance(hook, LoggerHook)]
    return loggers[0].interval if loggers else 50
