"""Seconds and memory of work on a device, on a GPU as on a CPU.

Workers of both sides of a comparison use it, so that it imports nothing of either package.
"""

import ctypes
import gc
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch

TF32_SINCE = (8, 0)  # compute capability of the first cards that have it


class Peak(NamedTuple):
    """Bytes of memory at the peak of some work.

    ``above`` is what it took beyond what was held before, ``whole`` all that was held. On a GPU
    both count tensors, and ``reserved`` what torch held of the card; on a CPU they are resident
    pages of the process, and ``reserved`` is None.
    """

    above: int
    whole: int
    reserved: int | None = None

    def __str__(self) -> str:
        above, whole = (f"{number / 2**20:.0f} MiB" for number in (self.above, self.whole))
        if self.reserved is None:
            return f"{above}; {whole} of the whole process"
        return f"{above}; {whole} allocated in all, {self.reserved / 2**20:.0f} MiB reserved"


def memory_peak(work: Callable[[], Any], device: torch.device | str = "cpu") -> Peak:
    """What ``work`` takes on ``device``.

    Source of a CPU's: VmHWM of ``/proc/self/status``, reset through ``/proc/self/clear_refs``.
    """
    gc.collect()
    device = torch.device(device)
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        whole = torch.cuda.max_memory_allocated(device)
        return Peak(whole - before, whole, torch.cuda.max_memory_reserved(device))
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _status("VmRSS")
    work()
    whole = _status("VmHWM")
    return Peak(whole - before, whole)


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {key}")


def wait_for(device: torch.device | str) -> None:
    """Until ``device`` has done all that it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def median_seconds(
    work: Callable[[], Any], device: torch.device | str, repeat: int, warm_up: int = 1
) -> float:
    """Of ``repeat`` runs, each waited for, after ``warm_up`` that don't count."""
    for _ in range(warm_up):
        work()
    seconds = []
    for _ in range(repeat):
        wait_for(device)
        start = time.perf_counter()
        work()
        wait_for(device)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


@contextmanager
def allow_tf32(allowed: bool) -> Iterator[None]:
    """Whether a GPU may round what float32 convolutions and products read to 10 bits, inside."""
    # The older switches are set and never read: reading fails where someone used the newer ones.
    convolutions = torch.backends.cudnn.conv.fp32_precision == "tf32"
    products = torch.backends.cuda.matmul.fp32_precision == "tf32"
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = convolutions
        torch.backends.cuda.matmul.allow_tf32 = products


def has_tf32(device: torch.device | str) -> bool:
    device = torch.device(device)
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= TF32_SINCE


def has_bf16(device: torch.device | str) -> bool:
    """Whether ``device`` computes in bfloat16 by itself; every CPU at least can."""
    cuda = torch.device(device).type == "cuda"
    return not cuda or torch.cuda.is_bf16_supported(including_emulation=False)


def arithmetic(device: torch.device | str, dtype: torch.dtype) -> str:
    """What convolutions of ``dtype`` are computed in as torch is set now: a name of `matrix_rates`.

    Float32 is TF32 on cards that have it, unless that was turned off.
    """
    if dtype is torch.float32:
        tf32 = torch.backends.cudnn.conv.fp32_precision == "tf32" and has_tf32(device)
        return "tf32" if tf32 else "fp32"
    return {torch.float16: "fp16", torch.bfloat16: "bf16"}[dtype]


def matrix_rates(
    device: torch.device | str, *, side: int | None = None, repeat: int = 5
) -> dict[str, float]:
    """Operations a second of the product of two square matrices, by what it is computed in.

    On a GPU fp32, tf32, bf16 and fp16, as far as the card has them; on a CPU fp32 and bf16.
    """
    device = torch.device(device)
    cuda = device.type == "cuda"
    side = side or (8192 if cuda else 2048)
    kinds = {"fp32": torch.float32}
    if has_tf32(device):
        kinds["tf32"] = torch.float32
    if has_bf16(device):
        kinds["bf16"] = torch.bfloat16
    if cuda:
        kinds["fp16"] = torch.float16
    rates = {}
    for name, dtype in kinds.items():
        a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        with allow_tf32(name == "tf32"):
            seconds = median_seconds(lambda a=a, b=b: a @ b, device, repeat)
        rates[name] = 2 * side**3 / seconds
    return rates
