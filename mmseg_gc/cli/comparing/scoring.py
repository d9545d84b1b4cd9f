"""The figures of one trained config, as a program: each config's memory is a process's own."""

import hashlib
import json
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from mmseg_gc.atomic import write_atomically
from mmseg_gc.cli.command import cli
from mmseg_gc.version import __version__

REPEATS = 5  # of which the time of an image is the median
FILE = "figures.json"


def figures_key(config: Path, checkpoint: Path, precision: str) -> dict[str, Any]:
    """What figures depend on: those with another key are measured anew."""
    stat = checkpoint.stat()
    return dict(
        config=hashlib.sha256(config.read_bytes()).hexdigest(),
        checkpoint=str(checkpoint),
        saved=[stat.st_size, stat.st_mtime_ns],
        precision=precision,
        version=__version__,
    )


def score(config: Path, checkpoint: Path, precision: str) -> dict[str, Any]:
    """All figures of ``checkpoint``: cost of one image first, then the test of all.

    ``miou`` and ``by_class`` in percent, None for a class that doesn't occur; ``parameters`` and
    ``operations`` (two a multiply-add) as numbers; ``seconds`` from a read image on the host to
    labels; ``peak`` in bytes, of the whole process or of a GPU's tensors; ``size`` (h, w).
    """
    from mmseg_gc.config import load_config

    cost = cost_of_image(load_config(config), checkpoint, precision)
    return {**cost, **quality(load_config(config), checkpoint, precision)}


def cost_of_image(cfg, checkpoint: Path, precision: str) -> dict[str, Any]:
    import torch
    from mmengine.device import get_device

    from mmseg_gc.apis import init_model
    from mmseg_gc.apis.operations import num_operations
    from mmseg_gc.registry import DATASETS

    device = torch.device(get_device())
    model: Any = init_model(cfg, checkpoint, device=device, precision=precision)
    sample = DATASETS.build(cfg.test_dataloader.dataset)[0]
    batch = {key: [value] for key, value in sample.items()}

    def seconds() -> float:
        start = time.perf_counter()
        with torch.inference_mode():
            [labelled] = model.test_step(batch)
        labelled.pred_sem_seg.data.cpu()  # waits for a GPU
        return time.perf_counter() - start

    seconds()  # warms up
    taken = statistics.median(seconds() for _ in range(REPEATS))
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device)
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # KiB on Linux
    plain = init_model(cfg)
    channels, *size = sample["inputs"].shape
    return dict(
        parameters=sum(parameter.numel() for parameter in plain.parameters()),
        operations=num_operations(plain, tuple(size), channels),
        seconds=taken,
        peak=peak,
        size=size,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        threads=torch.get_num_threads(),
    )


def quality(cfg, checkpoint: Path, precision: str) -> dict[str, Any]:
    from mmseg_gc.config.prediction import prepare_test
    from mmseg_gc.engine.runner import SegRunner
    from mmseg_gc.errors import UserError

    prepare_test(cfg, checkpoint, precision=precision)
    runner = SegRunner.from_cfg(cfg)
    means = runner.test()
    if "mIoU" not in means:
        raise UserError(f"{cfg.filename}: test_evaluator scores no mIoU; add IoUMetric.")
    [metric] = [one for one in runner.test_evaluator.metrics if hasattr(one, "class_values")]
    values = metric.class_values["IoU"]
    names = metric.dataset_meta["classes"]
    return dict(
        miou=means["mIoU"],
        by_class={
            name: None if value != value else value
            for name, value in zip(names, values, strict=True)
        },
        num_images=len(runner.test_dataloader.dataset),
    )


@cli
def main(arguments: list[str] | None = None) -> None:
    from mmseg_gc.engine.console import quiet_screen

    config, checkpoint, precision, out = sys.argv[1:] if arguments is None else arguments
    quiet_screen()
    paths = Path(config), Path(checkpoint)
    key = figures_key(*paths, precision)
    found = {"key": key, **score(*paths, precision), "date": time.strftime("%Y-%m-%d %H:%M %Z")}
    text = json.dumps(found, indent=1)
    write_atomically(out, lambda file: file.write(text.encode()))


if __name__ == "__main__":
    main()
