"""What a person is told of a run: what it is made of before, and what came of it after."""

import os
import shlex
from pathlib import Path

import torch
from mmengine.dist import get_world_size
from mmengine.hooks import CheckpointHook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmseg_gc.checkpoint.http import shown
from mmseg_gc.visualization.curves import has_log

SHOWN_CLASSES = 8
MINUTE, HOUR = 60, 3600  # seconds


def training_summary(runner: Runner) -> dict[str, str]:
    """What is about to be trained, by topic."""
    model = _inner(runner.model)
    loader = runner.train_dataloader
    data = f"{len(loader.dataset)} images for training"
    if runner.val_loop:
        data += f", {len(runner.val_dataloader.dataset)} for validation"
    parameters = sum(p.numel() for p in model.parameters())
    kind = type(runner.optim_wrapper).__name__
    validation = f", validation every {runner.train_loop.val_interval}" if runner.val_loop else ""
    run = f"{runner.max_iters} iterations of {batch_size(loader)} images{validation}"
    return {
        "data": _with_root(data, loader),
        **_classes(loader),
        "model": f"{_parts(model)}, {parameters / 1e6:.2f} million parameters",
        "begins": _begins(runner),
        "device": _device(model),
        "precision": "mixed" if "Amp" in kind else "float32",
        "run": f"{run}; {loader.num_workers} workers",
        "log": _log(runner),
    }


def test_summary(runner: Runner) -> dict[str, str]:
    """What is about to be tested, by topic."""
    model = _inner(runner.model)
    loader = runner.test_dataloader
    inner = getattr(model, "module", model)  # of several views
    mode = (getattr(inner, "test_cfg", None) or {}).get("mode", "whole")
    text = "sliding windows" if mode == "slide" else "whole images"
    if inner is not model:
        text += ", averaged over scales and flips"
    return {
        "data": _with_root(f"{len(loader.dataset)} images", loader),
        **_classes(loader),
        "model": f"{_parts(inner)}: {near(runner.cfg.load_from)}",
        "device": _device(model),
        "test": text,
        "log": _log(runner),
    }


def training_result(runner: Runner, config: str) -> list[str]:
    """The figures of each class, the best figure and its weights, and what comes next."""
    hook = next((one for one in runner.hooks if isinstance(one, CheckpointHook)), None)
    saved = runner.message_hub.runtime_info
    best = saved.get("best_ckpt") or _last_checkpoint(runner)
    evaluator = runner.val_loop.evaluator if runner.val_loop else None
    lines = [f"per class, at {runner.iter}:\n{table}" for table in _tables(evaluator)]
    if saved.get("best_score") is not None and saved.get("best_ckpt"):
        figure = getattr(hook, "key_indicators", None) or ["best"]
        lines.append(f"best {figure[0]} {saved['best_score']:.2f}: {near(saved['best_ckpt'])}")
    if not best:
        return lines
    config, weights = shlex.quote(config), shlex.quote(near(best))
    lines += [
        "next:",
        f"  mmseg_gc test {config} {weights}",
        f"  mmseg_gc predict {config} {weights} IMAGES",
    ]
    if has_log(Path(runner.work_dir)):
        lines.append(f"  mmseg_gc curves {shlex.quote(near(runner.work_dir))}")
    return lines


def test_result(runner: Runner, metrics: dict | None) -> list[str]:
    """The figures of each class, the means, and where what was written lies."""
    lines = _tables(runner.test_loop.evaluator)
    if metrics:
        lines.append(figures_text(metrics))
    places = {"figures": Path(runner.log_dir) / f"{runner.timestamp}.json" if metrics else None}
    evaluators = getattr(runner.test_loop.evaluator, "metrics", ())
    places["label maps"] = next(
        filter(None, (getattr(one, "output_dir", None) for one in evaluators)), None
    )
    drawing = (runner.cfg.get("default_hooks") or {}).get("visualization") or {}
    places["drawn"] = drawing.get("out_dir") if drawing.get("draw") else None
    return [*lines, *(f"{name:<10} {near(path)}" for name, path in places.items() if path)]


def figures_text(metrics: dict) -> str:
    """The means of ``metrics``, spelt as in mmengine's log, without those of single classes."""
    means = [
        f"{name}: {value:.2f}"
        for name, value in metrics.items()
        if isinstance(value, float) and "." not in name
    ]
    return "  ".join(means)


def duration(seconds: float) -> str:
    """``seconds`` as a person would say it."""
    if seconds < 1.5 * MINUTE:
        return f"{max(1, round(seconds))} seconds"
    if seconds < 1.5 * HOUR:
        return f"{round(seconds / MINUTE)} minutes"
    return f"{seconds / HOUR:.1f} hours"


def near(path: str | Path) -> str:
    """``path`` as it is typed from the current folder, if it lies below that."""
    text = shown(str(path))
    if "://" in text:
        return text
    own = Path(text)
    return str(own.relative_to(Path.cwd())) if own.is_relative_to(Path.cwd()) else text


def batch_size(loader: DataLoader) -> int | None:
    return loader.batch_size or getattr(loader.batch_sampler, "batch_size", None)


def _inner(model: torch.nn.Module) -> torch.nn.Module:
    return model.get_submodule("module") if is_model_wrapper(model) else model


def _begins(runner: Runner) -> str:
    source = runner.cfg.get("load_from") or (runner.cfg.get("model") or {}).get("pretrained")
    if runner.iter:
        return f"going on at iteration {runner.iter}"
    return f"weights of {near(source)}" if source else "random weights"


def _classes(loader: DataLoader) -> dict[str, str]:
    classes = list((getattr(loader.dataset, "metainfo", None) or {}).get("classes") or ())
    if not classes:
        return {}
    more = f" and {len(classes) - SHOWN_CLASSES} more" if len(classes) > SHOWN_CLASSES else ""
    return {"classes": f"{len(classes)}: {', '.join(classes[:SHOWN_CLASSES])}{more}"}


def _with_root(text: str, loader: DataLoader) -> str:
    root = getattr(loader.dataset, "data_root", None)
    return f"{text}: {near(root)}" if root else text


def _log(runner: Runner) -> str:
    return near(Path(runner.log_dir) / f"{runner.timestamp}.log")


def _tables(evaluator: object | None) -> list[str]:
    tables = [getattr(one, "table", "") for one in getattr(evaluator, "metrics", ())]
    return [table for table in tables if table]


def _last_checkpoint(runner: Runner) -> str | None:
    path = Path(runner.work_dir) / "last_checkpoint"
    return path.read_text().strip() if path.is_file() else None


def _parts(model: torch.nn.Module) -> str:
    parts = [getattr(model, name, None) for name in ("backbone", "decode_head")]
    names = []
    for part in filter(None, parts):
        depth = getattr(part, "depth", None)
        # Of a part that is prepared, the one that it stands for.
        kind = next(k for k in type(part).__mro__ if ".accelerate." not in k.__module__)
        names.append(kind.__name__ + (f"-{depth}" if depth else ""))
    return " + ".join(names) or type(model).__name__


def _device(model: torch.nn.Module) -> str:
    device = next(model.parameters()).device
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} ({device}), {get_world_size()} processes"
    return f"{device.type}, {torch.get_num_threads()} of {os.cpu_count()} cores"
