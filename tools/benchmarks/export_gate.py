"""Export configs with random weights to each format, and print what the gate found as a table."""

import sys
import tempfile
import time
from pathlib import Path

from mmseg_gc.cli import cli

ROOT = Path(__file__).resolve().parents[2]
FORMATS = ("onnx", "openvino", "pt2")


def parse_args():
    from mmseg_gc.arguments import ArgumentParser

    parser = ArgumentParser(
        description=__doc__, example="export_gate.py gcnet_r50-d8_4xb4-160k_ade20k-512x512"
    )
    rows = parser.add_argument(
        "configs", nargs="*", help="names or paths; default: all published rows and GC in backbone"
    )
    rows.metavar = "CONFIG"
    parser.add_argument("--to", nargs="+", choices=FORMATS, default=FORMATS, help="default: all")
    parser.add_argument("--size", nargs=2, type=int, default=(256, 384), metavar=("H", "W"))
    return parser.parse_args()


def default_configs() -> list[str]:
    names = sorted(path.stem for path in (ROOT / "configs/gcnet").glob("gcnet_r*_4xb*.py"))
    return [name for name in names if "demo" not in name and "folders" not in name]


def measure(config: str, to: str, size: tuple[int, int]) -> str:
    """A line of the table: worst of the sizes."""
    import torch

    from mmseg_gc.apis import init_model
    from mmseg_gc.deploy import exporting
    from mmseg_gc.deploy.formats import SUFFIXES

    torch.manual_seed(0)
    model = init_model(config)
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    torch.nn.init.normal_(model.decode_head.conv_seg.weight, std=1.0)
    model.test_cfg.clear()
    model.test_cfg.update(mode="slide", crop_size=size, stride=size)  # what the gate goes by
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        options = exporting.ExportOptions(to=to, num_images=1)
        out = Path(folder) / f"model{SUFFIXES[to]}"
        verdict = exporting.export_model(model, model.cfg, out, options).verdict
    seconds = time.perf_counter() - start
    sizes = " ".join("×".join(map(str, at.size)) for at in verdict.sizes)
    worst = max(at.difference for at in verdict.sizes)
    equal = min(at.equal for at in verdict.sizes)
    found = "passed" if verdict.passed else f"FAILED: {verdict.reason}"
    return f"| {config} | {to} | {sizes} | {worst:.1e} | {equal:.4%} | {found} | {seconds:.0f} s |"


@cli
def main() -> None:
    args = parse_args()
    from mmseg_gc.engine.console import quiet_screen
    from mmseg_gc.errors import UserError

    quiet_screen()
    print("| config | format | sizes | rel. diff. | equal labels | gate | time |")
    print("|---|---|---|---|---|---|---|")
    for config in args.configs or default_configs():
        for to in args.to:
            try:
                print(measure(config, to, tuple(args.size)), flush=True)
            except UserError as error:
                print(f"{config} to {to}: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
