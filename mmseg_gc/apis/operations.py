"""The arithmetic of a network."""

import copy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def num_operations(model: nn.Module, size: tuple[int, int], channels: int = 3) -> int:
    """Floating-point operations, two a multiply-add, of the plain network on one input (h, w)."""
    model = copy.deepcopy(model).to("meta")
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model(torch.empty(1, channels, *size, device="meta"))
    return counter.get_total_flops()
