"""Name the machine and the software that figures are of."""

import os
import platform
from pathlib import Path

import torch

from mmseg_gc.version import __version__


def describe(device: torch.device) -> str:
    """One line: the card or processor, torch, CUDA and cuDNN."""
    parts = [f"torch {torch.__version__}"]
    if device.type == "cuda":
        card = torch.cuda.get_device_properties(device)
        name = f"{card.name}, {card.total_memory / 2**30:.0f} GiB"
        parts.append(f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}")
    else:
        name = f"{_processor()}, {torch.get_num_threads()} of {os.cpu_count()} cores"
    return ", ".join([name, *parts, f"mmseg_gc {__version__}"])


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    for row in info.read_text().splitlines() if info.is_file() else ():
        if row.startswith("model name"):
            return row.partition(":")[2].strip()
    return platform.machine()
