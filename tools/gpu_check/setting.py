"""Where checks run, and on how large images."""

from dataclasses import dataclass
from pathlib import Path

import torch
from measures import has_bf16

from gpu_check.check import SkipCheck


@dataclass(frozen=True)
class Setting:
    """``device`` runs all that is checked against the CPU; ``peer`` is mmsegmentation's python."""

    device: torch.device
    tiny: bool = False
    peer: Path | None = None

    @property
    def cuda(self) -> bool:
        return self.device.type == "cuda"

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) of the images that checks of correctness use."""
        return (64, 128) if self.tiny else (256, 512)

    @property
    def patience(self) -> float:
        """How many times the bounds of time of a GPU hold: a CPU may be slow, or shared."""
        return 1 if self.cuda else 8

    @property
    def amp(self) -> str:
        """What mixed precision computes in by default."""
        return "fp16" if self.cuda else "bf16"

    def require_gpu(self, why: str) -> None:
        """Skip the check on a CPU, because ``why``."""
        if not self.cuda:
            raise SkipCheck(f"{why}; needs a GPU")

    def require_precision(self, precision: str | None) -> None:
        """Skip what this device can't compute in."""
        lacking = self.lacks(precision)
        if lacking:
            raise SkipCheck(lacking)

    def lacks(self, precision: str | None) -> str:
        """Why ``precision`` can't be had, or nothing."""
        if precision == "fp16" and not self.cuda:
            return "a CPU has no arithmetic for fp16"
        if precision == "bf16" and not has_bf16(self.device):
            return "this card has no arithmetic for bf16"
        return ""
