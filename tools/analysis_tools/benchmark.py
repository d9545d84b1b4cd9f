"""Measure inference of a config: seconds of each stage, images a second, memory, arithmetic."""

import sys
from functools import partial
from pathlib import Path

from mmseg_gc.cli import cli
from mmseg_gc.errors import UserError

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


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
    parser.add_argument(
        "--precision",
        choices=("fp32", "bf16", "fp16"),
        default="fp32",
        help="what the network computes in; fp16 needs a GPU, where fp32 is TF32 from Ampere on",
    )
    parser.add_argument("--compile", action="store_true", help="run it through torch.compile")
    parser.add_argument(
        "--repeat", "--repeat-times", type=int, default=5, help="runs to take the median of"
    )
    return parser.parse_args()


def input_size(cfg, size: list[int] | None) -> tuple[int, int]:
    """(h, w) of the network's input."""
    if size is not None:
        return tuple(size)
    for step in cfg.test_dataloader.dataset.pipeline:
        if step["type"] == "Resize" and step.get("scale"):
            width, height = step["scale"]
            return height, width
    raise UserError("The config's test pipeline has no Resize with a scale: pass --size H W.")


def measure(args) -> list[tuple[str, str]]:
    import numpy as np
    import torch
    from measures import arithmetic, matrix_rates, median_seconds, memory_peak

    from mmseg_gc.accelerate import prepare_for_inference
    from mmseg_gc.apis import inference_model, init_model
    from mmseg_gc.apis.operations import num_operations
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
    seconds_of = partial(median_seconds, device=device, repeat=args.repeat)
    rates = matrix_rates(device, repeat=args.repeat)
    computed_in = arithmetic(device, model.compute_dtype)

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
        seconds = {name: seconds_of(work) for name, work in stages.items()}
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    model.cfg.test_dataloader.dataset.pipeline = [
        step for step in model.cfg.test_dataloader.dataset.pipeline if step["type"] != "Resize"
    ]

    def label() -> object:
        return inference_model(model, image)

    whole = seconds_of(label)
    memory = memory_peak(label, device)
    forward = seconds["backbone"] + seconds["decode head"]
    rate = rates[computed_in]
    lines = [(name, f"{value * 1000:.1f} ms") for name, value in seconds.items()]
    lines += [
        ("end to end, from an array", f"{whole * 1000:.1f} ms, {1 / whole:.2f} images/s"),
        ("peak memory above the idle model", str(memory)),
        ("network on the whole input", f"{operations / 1e9:.0f} GFLOP"),
        *((f"matrix product in {kind}", f"{r / 1e9:.0f} GFLOP/s") for kind, r in rates.items()),
        (f"reached by the network, in {computed_in}", f"{operations / forward / rate:.0%} of that"),
    ]
    return lines


@cli
def main() -> None:
    args = parse_args()
    sys.path.insert(0, str(BENCHMARKS))
    from prettytable import PrettyTable

    table = PrettyTable(["stage", "median"], align="l")
    table.add_rows(measure(args))
    print(table)


if __name__ == "__main__":
    main()
