"""Where the host waits for the GPU, by file and line."""

import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook

from gpu_check import inputs, nets
from gpu_check.check import Check, CheckFailed
from gpu_check.label_checks import SLIDE, WHOLE
from gpu_check.setting import Setting
from gpu_check.short_training import AMP, train, training_config

# What may remain of an iteration, where nothing is logged, and of an image, the second of its size.
MOST_IN_TRAINING = 2
MOST_IN_TESTING = 2
FIRST, LAST = 5, 7  # iterations watched, the last not included: after validation in the middle


@contextmanager
def waits() -> Iterator[Counter]:
    """Counts inside how often each line of Python made the host wait for the GPU."""
    found: Counter = Counter()

    def record(message: Warning | str, *_: Any) -> None:
        if "synchroniz" in str(message):
            stack = traceback.extract_stack()[:-1]
            found[place([f for f in stack if f.filename != warnings.__file__])] += 1

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = record
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield found
        finally:
            torch.cuda.set_sync_debug_mode("default")


def place(stack: Sequence[traceback.FrameSummary]) -> str:
    """The innermost line, and the line of this package that led to it if that is another."""
    inner = _line(stack[-1])
    own = [frame for frame in stack if "/mmseg_gc/" in frame.filename]
    if not own or _line(own[-1]) == inner:
        return inner
    return f"{_line(own[-1])} ({inner})"


def _line(frame: traceback.FrameSummary) -> str:
    path = Path(frame.filename)
    return f"{path.parent.name}/{path.name}:{frame.lineno}"


class WatchHook(Hook):
    """Counts waits from the start of iteration `FIRST` to that of `LAST`, loading data included."""

    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self.found: Counter = Counter()
        self._watching = None

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        if runner.iter == FIRST:
            self._watching = waits()
            self.found = self._watching.__enter__()
        elif runner.iter == LAST:
            self.stop()

    def stop(self) -> None:
        if self._watching is not None:
            self._watching.__exit__(None, None, None)
            self._watching = None


def training_rarely_waits(setting: Setting) -> str:
    setting.require_gpu("the host waits for no CPU")
    watch = WatchHook()
    with tempfile.TemporaryDirectory() as folder:
        try:
            train(training_config(setting, folder, LAST + 1, AMP), [watch])
        finally:
            watch.stop()
    return judge(watch.found, LAST - FIRST, MOST_IN_TRAINING, "iteration")


def testing_rarely_waits(setting: Setting, options: dict[str, Any], batch: Callable) -> str:
    """Of the second image of a size, whose tables are on the card."""
    setting.require_gpu("the host waits for no CPU")
    model = nets.prepared(nets.build_small(options, setting.device), "fp16")
    data = batch(setting.size)
    if isinstance(data["inputs"][0], list):
        model = nets.over_views(model)
    nets.predict(model, data)
    with waits() as found:
        nets.predict(model, data)
    return judge(found, 1, MOST_IN_TESTING, "image")


def judge(found: Counter, number: int, most: int, what: str) -> str:
    """The places in words. Raises: CheckFailed above ``most`` waits for each of ``number``."""
    each = found.total() / number
    places = ", ".join(f"{name} x{count}" for name, count in sorted(found.items()))
    note = f"{each:g} waits an {what}" + (f": {places}" if places else "")
    if each > most:
        raise CheckFailed(f"{note}; at most {most} are meant")
    return note


def _resized(size: tuple[int, int]) -> dict:
    return inputs.test_batch(size, ori_shape=(size[0] + 44, size[1] - 12))


CHECKS = [
    Check("waits/training", "lines at which a training step waits", training_rarely_waits),
    *(
        Check(
            f"waits/{name}",
            f"lines at which testing waits: {name}",
            partial(testing_rarely_waits, options=options, batch=batch),
        )
        for name, options, batch in (
            ("resized", WHOLE, _resized),
            ("slide", SLIDE, inputs.test_batch),
            ("ms-flip", WHOLE, partial(inputs.views, scales=(0.5, 1.0, 1.75))),
        )
    ),
]
