"""The one switch of training: on CPUs, fewer products and less memory for the same losses."""

import torch
from mmengine.logging import print_log
from torch import nn

from mmseg_gc.accelerate.cpu import operators
from mmseg_gc.accelerate.cpu.recompute import RECOMPUTING
from mmseg_gc.accelerate.cpu.winograd_training import TrainedWinogradConv2d, pays_in_training
from mmseg_gc.accelerate.prepare import check_accelerate
from mmseg_gc.accelerate.replacement import replace
from mmseg_gc.detection import has_ops


def prepare_for_training(
    model: nn.Module, *, device_type: str, accelerate: str = "auto"
) -> nn.Module:
    """Make ``model`` ready to be trained on ``device_type``; parameters stay the same objects.

    ``accelerate="auto"``, on a CPU: layers lie channels last, large 3x3 convolutions become
    `TrainedWinogradConv2d`, and blocks can drop the outputs of their norms inside of `less_kept`.
    Models with mmcv's ops stay as they are, as does everything with ``accelerate="none"``.

    Raises: UserError for an unknown ``accelerate``.
    """
    check_accelerate(accelerate)
    how = "the plain modules"
    if accelerate == "auto" and device_type == "cpu" and not has_ops(model):
        # oneDNN's convolutions take this layout as it is and reorder the other one. Of mmcv's ops,
        # DCN refuses it and RoIAlign reads the wrong pixels from it without a word.
        model = model.to(memory_format=torch.channels_last)
        if not any(name.startswith("aten.") for name in operators.missing()):
            replace(model, RECOMPUTING)
        convs = replace(model, {nn.Conv2d: TrainedWinogradConv2d}, where=pays_in_training)
        how = f"channels last, and {len(convs)} convolutions by Winograd"
    print_log(f"Training on {device_type}, accelerate={accelerate}: {how}.", logger="current")
    return model
