"""Measure inference of a config: seconds of each stage, images a second, memory, arithmetic."""

import copy
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from mmseg_gc.errors import UserError, cli


def parse_args():
    from mmseg_gc.arguments import ArgumentParser

    parser = ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config file, such as configs/gcnet/….py")
    parser.add_argument("checkpoint", nargs="?", help="weights; default: random ones")
    parser.add_argument(
        "--size",
        nargs=2,
        type=int,
        metavar=("HEIGHT", "WIDTH"),
        help="of the input, in pixels; default: what the config's test pipeline resizes to",
    )
    parser.add_argument("--device", help="cpu or cuda:0; default: a GPU if there is one")
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="fp32")
    parser.add_argument("--compile", action="store_true", help="run it through torch.compile")
    parser.add_argument("--repeat", type=int, default=5, help="runs to take the median of")
    return parser.parse_args()


class Stopwatch:
    """Medians of how long something takes on ``device``, in seconds."""

    def __init__(self, device, repeat: int):
        self.device = device
        self.repeat = repeat

    def seconds(self, work: Callable[[], object]) -> float:
        work()
        times = []
        for _ in range(self.repeat):
            self._wait()
            start = time.perf_counter()
            work()
            self._wait()
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            import torch

            torch.cuda.synchronize(self.device)


def input_size(cfg, size: list[int] | None) -> tuple[int, int]:
    """(h, w) of the network's input."""
    if size is not None:
        return tuple(size)
    for step in cfg.test_dataloader.dataset.pipeline:
        if step["type"] == "Resize" and step.get("scale"):
            width, height = step["scale"]
            return height, width
    raise UserError("The config's test pipeline has no Resize with a scale: pass --size H W.")


def num_operations(model, size: tuple[int, int]) -> int:
    """Floating-point operations, two a multiply-add, of the plain network on one input."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    model = copy.deepcopy(model).to("meta")
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model(torch.empty(1, 3, *size, device="meta"))
    return counter.get_total_flops()


def matrix_rate(watch: Stopwatch, dtype) -> float:
    """Operations a second of this machine's matrix product of 2048 x 2048 matrices."""
    import torch

    side = 2048 if watch.device.type == "cpu" else 8192
    a, b = (torch.randn(side, side, device=watch.device).to(dtype) for _ in range(2))
    return 2 * side**3 / watch.seconds(lambda: a @ b)


def peak_memory(device, work: Callable[[], object]) -> int:
    """Bytes at the peak of ``work`` above what is held before it, as the system counts."""
    import torch

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        return torch.cuda.max_memory_allocated(device) - before
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _status("VmRSS")
    work()
    return _status("VmHWM") - before


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def measure(args) -> list[tuple[str, str]]:
    import numpy as np
    import torch

    from mmseg_gc.accelerate import prepare_for_inference
    from mmseg_gc.apis import inference_model, init_model
    from mmseg_gc.evaluation.confusion import confusion_counts

    device = torch.device(args.device or ("cuda:0" if torch.cuda.is_available() else "cpu"))
    model = init_model(args.config, device=device)
    size = input_size(model.cfg, args.size)
    operations = num_operations(model, size)
    if args.checkpoint:
        options = dict(device=device, precision=args.precision, compile=args.compile)
        model = init_model(args.config, args.checkpoint, **options)
    else:
        prepare_for_inference(model, precision=args.precision, compile=args.compile)
    watch = Stopwatch(device, args.repeat)
    rate = matrix_rate(watch, model.compute_dtype)

    raw = torch.randint(0, 256, (1, 3, *size), dtype=torch.uint8)
    with torch.inference_mode():
        batch = raw.to(device)
        normal = model.data_preprocessor.normalise(batch)
        normal = normal.to(model.compute_dtype, memory_format=torch.channels_last)
        features = model.extract_feat(normal)
        labels = model.predict(batch)[0].pred_sem_seg.data[0]
        truth = labels.clone()
        stages = {
            "normalise": lambda: model.data_preprocessor.normalise(raw.to(device)),
            "backbone": lambda: model.extract_feat(normal),
            "decode head": lambda: model.decode_head(features),
            f"labels ({model.test_cfg.mode}), network included": lambda: model.predict(batch),
            "counts for the metric": lambda: confusion_counts(
                labels, truth, model.num_classes, 255
            ),
        }
        seconds = {name: watch.seconds(work) for name, work in stages.items()}
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    model.cfg.test_dataloader.dataset.pipeline = [
        step for step in model.cfg.test_dataloader.dataset.pipeline if step["type"] != "Resize"
    ]

    def label() -> object:
        return inference_model(model, picture)

    whole = watch.seconds(label)
    memory = peak_memory(device, label)
    forward = seconds["backbone"] + seconds["decode head"]
    lines = [(name, f"{value * 1000:.1f} ms") for name, value in seconds.items()]
    lines += [
        ("end to end, from an array", f"{whole * 1000:.1f} ms, {1 / whole:.2f} images/s"),
        ("peak memory above the idle model", f"{memory / 2**20:.0f} MiB"),
        ("network on the whole input", f"{operations / 1e9:.0f} GFLOP"),
        ("this device's matrix product", f"{rate / 1e9:.0f} GFLOP/s in {args.precision}"),
        ("reached by the network", f"{operations / forward / rate:.0%} of that"),
    ]
    return lines


@cli
def main() -> None:
    args = parse_args()
    from prettytable import PrettyTable

    table = PrettyTable(["stage", "median"], align="l")
    table.add_rows(measure(args))
    print(table)


if __name__ == "__main__":
    main()
