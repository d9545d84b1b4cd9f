"""What a report says was tested: data, weights, config, versions, machine."""

import hashlib
import platform
import resource
import time
from pathlib import Path

import mmengine
import numpy as np
import torch
from mmengine.runner import Runner

from mmseg_gc.version import __version__


def describe_run(runner: Runner, *, config: str, checkpoint: str, seconds: float) -> dict[str, str]:
    """Facts of a test that took ``seconds``, by what a person calls them."""
    count = len(runner.test_dataloader.dataset)
    return {
        "Data": _data(runner),
        "Images": f"{count:,}",
        "Weights": checkpoint,
        "SHA-256 of the weights": _sha256(checkpoint),
        "Config": config,
        "Way of testing": _way(runner),
        "Device": _device(),
        "Time": f"{seconds:.1f} s, {count / max(seconds, 1e-9):.2f} images/s",
        "Peak memory": _memory(),
        "Versions": (
            f"mmseg_gc {__version__}, torch {torch.__version__}, mmengine {mmengine.__version__}, "
            f"numpy {np.__version__}, Python {platform.python_version()}"
        ),
        "Date": time.strftime("%Y-%m-%d %H:%M %Z"),
    }


def _data(runner: Runner) -> str:
    dataset = runner.test_dataloader.dataset
    prefix = getattr(dataset, "data_prefix", None) or {}
    folder = prefix.get("img_path") or getattr(dataset, "data_root", None) or ""
    return f"{type(dataset).__name__} {folder}".strip()


def _way(runner: Runner) -> str:
    cfg = runner.cfg.model
    views = "several scales and flips, " if "module" in cfg else ""
    test_cfg = dict((cfg.get("module") or cfg).get("test_cfg") or dict(mode="whole"))
    mode = test_cfg.pop("mode", "whole")
    sizes = [f"{key} {value}" for key, value in test_cfg.items()]
    precisions = [
        hook["precision"] for hook in runner.cfg.get("custom_hooks") or [] if hook.get("precision")
    ]
    return views + ", ".join([f"{mode} images" if mode == "whole" else mode, *sizes, *precisions])


def _sha256(checkpoint: str) -> str:
    path = Path(checkpoint)
    if not path.is_file():
        return "not a local file"
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def _device() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"CPU, {torch.get_num_threads()} threads ({platform.machine()})"


def _memory() -> str:
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # KiB on Linux
    if torch.cuda.is_available():
        return f"{torch.cuda.max_memory_allocated() / 2**30:.2f} GiB of the GPU, {host:.2f} GiB"
    return f"{host:.2f} GiB"
