"""The one switch of training: less memory, and on CPUs fewer products, for the same losses."""

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModel
from torch import nn

from mmseg_gc.accelerate.cpu import operators
from mmseg_gc.accelerate.cpu.recompute import RECOMPUTING
from mmseg_gc.accelerate.cpu.winograd_training import TrainedWinogradConv2d, pays_in_training
from mmseg_gc.accelerate.prepare import check_accelerate
from mmseg_gc.accelerate.replacement import replace
from mmseg_gc.accelerate.summed_loss import SUMMED, can_sum
from mmseg_gc.accelerate.upsampled_loss import UpsampledCrossEntropyLoss, can_upsample
from mmseg_gc.models.layers.compiled_ops import has_ops
from mmseg_gc.models.losses import CrossEntropyLoss


def prepare_for_training(
    model: BaseModel, *, device_type: str, tensor_cores: bool = False, accelerate: str = "auto"
) -> nn.Module:
    """Make ``model`` ready to be trained on ``device_type``; parameters stay the same objects.

    ``accelerate="auto"``: where ``tensor_cores`` convolve, and on a CPU, layers lie channels last.
    On a CPU large 3x3 convolutions become `TrainedWinogradConv2d`, and blocks can drop the outputs
    of their norms inside of `less_kept`. Of models with mmcv's ops all that stays as it is. On any
    device a softmax loss becomes an `UpsampledCrossEntropyLoss`, which never holds logits of the
    label's size, and a loss of sums over an image a `SummedLoss`, which holds those of few images.
    With ``accelerate="none"`` everything stays as it is.

    Raises: UserError for an unknown ``accelerate``.
    """
    check_accelerate(accelerate)
    on_cpu = device_type == "cpu"
    how = "the plain modules"
    if accelerate == "auto" and (on_cpu or tensor_cores) and not has_ops(model):
        # Both take this layout as it is and reorder the other one. Of mmcv's ops, DCN refuses it
        # and RoIAlign reads the wrong pixels from it without a word.
        model = model.to(memory_format=torch.channels_last)
        how = "channels last"
        if on_cpu:
            if not any(name.startswith("aten.") for name in operators.missing()):
                replace(model, RECOMPUTING)
            convs = replace(model, {nn.Conv2d: TrainedWinogradConv2d}, where=pays_in_training)
            how += f", and {len(convs)} convolutions by Winograd"
    if accelerate == "auto":
        replace(model, {CrossEntropyLoss: UpsampledCrossEntropyLoss}, where=can_upsample)
        replace(model, SUMMED, where=can_sum)
    print_log(f"Training on {device_type}, accelerate={accelerate}: {how}.", logger="current")
    return model
