"""Print what a bug report needs: versions, device, and where the package lies."""

import os
import platform
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from mmseg_gc.arguments import ArgumentParser
from mmseg_gc.cli.command import cli
from mmseg_gc.version import __version__

PACKAGES = (
    "torch", "onedl-mmengine", "onedl-mmcv", "onedl-mmdetection", "numpy", "opencv-python",
    "opencv-python-headless", "pillow", "kornia-rs", "onnx", "onnxscript", "nncf",
    "huggingface_hub",
)  # fmt: skip


def versions() -> dict[str, str]:
    """What is installed of the packages that matter, by name."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def devices() -> list[str]:
    """The GPUs that torch sees, with their memory, or why there are none."""
    import torch

    if not torch.cuda.is_available():
        return [f"no GPU for torch (built for CUDA {torch.version.cuda or 'none'})"]
    found = []
    for index in range(torch.cuda.device_count()):
        of = torch.cuda.get_device_properties(index)
        found.append(f"{of.name}, {of.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}")
    return found


def runtimes() -> dict[str, str]:
    """The runtimes of exported files, with their providers or devices."""
    from mmseg_gc.deploy import installed_runtimes

    return installed_runtimes() or {
        "runtimes": "none of exported files: pip install 'mmseg_gc[export]'"
    }


@cli
def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(description=__doc__, command="info", example="mmseg_gc info")
    parser.parse_args(arguments)
    import mmseg_gc

    rows = {
        "mmseg_gc": f"{__version__} in {Path(mmseg_gc.__file__).parent}",
        "python": f"{platform.python_version()} ({sys.executable})",
        "system": f"{platform.platform()}, {os.cpu_count()} CPUs",
        "device": "; ".join(devices()),
        **versions(),
        **runtimes(),
    }
    width = max(map(len, rows))
    for name, text in rows.items():
        print(f"{name:<{width}}  {text}")
