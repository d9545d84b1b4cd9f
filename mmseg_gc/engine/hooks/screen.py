"""What a person wants to see of a training: what runs, how far it is, and what came of it."""

import os
import shlex
import sys
import time
from datetime import timedelta
from pathlib import Path

import torch
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import CheckpointHook, Hook, LoggerHook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from tqdm import tqdm

from mmseg_gc.engine.console import AboveBars, screen_handlers
from mmseg_gc.registry import HOOKS

EARLY = (1, 2, 5, 10)  # iterations that have a line of their own
SECONDS_TO_READ = 1.0  # from one reading of the loss to the next: the host waits for a GPU then
SHOWN_CLASSES = 8


@HOOKS.register_module()
class ScreenHook(Hook):
    """Print ten lines before training, a bar or lines while it runs, and its result.

    A terminal gets the bar; what goes to a file gets a line for iterations 1, 2, 5 and 10 and then
    one an interval of the logger's. ``config`` is what the command was given, for the commands
    that come next. Goes with the key ``screen="brief"``, which leaves the rest to the log's file.
    """

    priority = "VERY_LOW"

    def __init__(self, config: str = "CONFIG"):
        self.config = config
        self.bar: tqdm | None = None
        self._is_terminal = sys.stderr.isatty()
        self._seconds = 0.0  # of training, without validation
        self._rate = 0.0
        self._last = self._read_at = 0.0
        self._first = 0

    def before_train(self, runner: Runner) -> None:
        if not is_main_process():
            return
        for name, text in summary(runner).items():
            self._say(f"{name:<10} {text}")
        self._last = time.monotonic()
        self._first = runner.iter
        if self._is_terminal:
            self.bar = tqdm(
                total=runner.max_iters, initial=runner.iter, unit=" iter", dynamic_ncols=True
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
        self._seconds, self._last = self._seconds + now - self._last, now
        if self.bar is not None:
            self.bar.update()
            if done - self._first in EARLY or now - self._read_at > SECONDS_TO_READ:
                self._read_at = now
                figures = self._figures(runner, outputs)
                self.bar.set_postfix_str("  ".join(figures))
            return
        if (
            done - self._first in EARLY
            or done % _log_interval(runner) == 0
            or done == runner.max_iters
        ):
            per_iteration = self._seconds / (done - self._first)
            left = timedelta(seconds=round(per_iteration * (runner.max_iters - done)))
            said = "  ".join(self._figures(runner, outputs))
            self._say(f"iter {done}/{runner.max_iters}  {said}  ETA {left}")

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        self._last = time.monotonic()
        if is_main_process() and metrics:
            shown = [
                f"{name}: {value:.4g}"
                for name, value in metrics.items()
                if isinstance(value, float) and "." not in name
            ]
            self._say(f"validation at {runner.iter}: {'  '.join(shown)}")

    def after_train(self, runner: Runner) -> None:
        if not is_main_process():
            return
        self.close()
        for line in result_lines(runner, self.config):
            self._say(line)

    def close(self) -> None:
        """End the bar, so that what follows begins on a line of its own."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None
            for handler in screen_handlers():
                handler.stream = getattr(handler.stream, "below", handler.stream)

    def _figures(self, runner: Runner, outputs: dict | None) -> list[str]:
        done = max(1, runner.iter + 1 - self._first)
        figures = []
        loss = (outputs or {}).get("loss")
        if loss is not None:
            figures.append(f"loss {float(loss):.4g}")
        figures.append(f"lr {self._rate:.3g}")
        images = (_batch_size(runner) or 0) * get_world_size() * done
        figures.append(f"{images / max(self._seconds, 1e-9):.3g} images/s")
        return figures

    def _say(self, text: str) -> None:
        if self.bar is not None:
            self.bar.write(text, file=sys.stdout)
        else:
            print(text, flush=True)


def summary(runner: Runner) -> dict[str, str]:
    """What is about to run, by topic."""
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    lines = {"data": _data(runner)}
    classes = list((runner.train_dataloader.dataset.metainfo or {}).get("classes") or ())
    if classes:
        more = f" and {len(classes) - SHOWN_CLASSES} more" if len(classes) > SHOWN_CLASSES else ""
        lines["classes"] = f"{len(classes)}: {', '.join(classes[:SHOWN_CLASSES])}{more}"
    lines["model"] = _parts(model)
    lines["begins"] = _begins(runner)
    parameters = sum(p.numel() for p in model.parameters())
    lines["parameters"] = f"{parameters / 1e6:.2f} million"
    lines["device"] = _device(model)
    kind = type(runner.optim_wrapper).__name__
    lines["precision"] = "mixed" if "Amp" in kind else "float32"
    batch = _batch_size(runner)
    workers = runner.train_dataloader.num_workers
    loop = runner.train_loop
    validation = f", validation every {loop.val_interval}" if runner.val_loop else ""
    lines["run"] = f"{runner.max_iters} iterations of {batch} images{validation}; {workers} workers"
    lines["log"] = str(Path(runner.log_dir) / f"{runner.timestamp}.log")
    return lines


def result_lines(runner: Runner, config: str) -> list[str]:
    """The best figure, where its weights are, the figures of each class, and what comes next."""
    lines = []
    hook = next((one for one in runner.hooks if isinstance(one, CheckpointHook)), None)
    saved = runner.message_hub.runtime_info
    last = _last_checkpoint(runner)
    best = saved.get("best_ckpt") or last
    tables = [getattr(one, "table", "") for one in getattr(_evaluator(runner), "metrics", ())]
    lines += [f"per class, at {runner.iter}:\n{table}" for table in tables if table]
    if saved.get("best_score") is not None and saved.get("best_ckpt"):
        figure = getattr(hook, "key_indicators", None) or ["best"]
        lines.append(f"best {figure[0]} {saved['best_score']:.2f}: {saved['best_ckpt']}")
    if not best:
        return lines
    config, weights = shlex.quote(config), shlex.quote(str(best))
    return [
        *lines,
        "next:",
        f"  mmseg_gc test {config} {weights}",
        f"  mmseg_gc predict {config} {weights} IMAGES",
        f"  mmseg_gc curves {shlex.quote(str(runner.work_dir))}",
    ]


def _begins(runner: Runner) -> str:
    source = runner.cfg.get("load_from") or (runner.cfg.get("model") or {}).get("pretrained")
    if runner.iter:
        return f"going on at iteration {runner.iter}"
    return f"weights of {source}" if source else "random weights"


def _evaluator(runner: Runner) -> object | None:
    return runner.val_loop.evaluator if runner.val_loop else None


def _last_checkpoint(runner: Runner) -> str | None:
    path = Path(runner.work_dir) / "last_checkpoint"
    return path.read_text().strip() if path.is_file() else None


def _log_interval(runner: Runner) -> int:
    loggers = [hook for hook in runner.hooks if isinstance(hook, LoggerHook)]
    return loggers[0].interval if loggers else 50


def _batch_size(runner: Runner) -> int | None:
    return runner.train_dataloader.batch_size or getattr(
        runner.train_dataloader.batch_sampler, "batch_size", None
    )


def _data(runner: Runner) -> str:
    dataset = runner.train_dataloader.dataset
    text = f"{len(dataset)} images for training"
    if runner.val_loop:
        text += f", {len(runner.val_dataloader.dataset)} for validation"
    root = getattr(dataset, "data_root", None)
    return f"{text}: {root}" if root else text


def _parts(model: torch.nn.Module) -> str:
    parts = [getattr(model, name, None) for name in ("backbone", "decode_head")]
    names = []
    for part in filter(None, parts):
        depth = getattr(part, "depth", None)
        names.append(type(part).__name__ + (f"-{depth}" if depth else ""))
    return " + ".join(names) or type(model).__name__


def _device(model: torch.nn.Module) -> str:
    device = next(model.parameters()).device
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} ({device}), {get_world_size()} processes"
    return f"{device.type}, {torch.get_num_threads()} of {os.cpu_count()} cores"
