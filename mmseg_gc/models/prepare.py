"""The one place that makes a trained segmentor ready for fast inference."""

import shutil
from itertools import zip_longest

import torch
from mmcv.cnn import fuse_conv_bn
from mmengine.model import BaseTTAModel
from torch import Tensor, nn

from mmseg_gc.detection import has_ops
from mmseg_gc.errors import UserError
from mmseg_gc.models.layers.fused_conv import fused, fuses
from mmseg_gc.models.layers.winograd import WinogradConv2d, suits_winograd

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
FEWEST_CHANNELS = 64  # that are worth keeping weights in oneDNN's order for


def prepare_for_inference(
    model: nn.Module, *, precision: str = "fp32", compile: bool = False
) -> nn.Module:
    """Make ``model``, a segmentor or a `SegTTAModel` of one, fast; it can't be trained afterwards.

    Auxiliary heads go, batch norms are folded into convolutions, `FCNHead` reads its input once,
    memory is laid out channels last, and on a CPU convolutions become `WinogradConv2d` and
    `FusedConv2d`, whose blocks write over their input.
    Scores in float32 stay within 1e-4 of the plain model's, relative to the largest. ``precision``
    is fp32, bf16 or fp16: what the network computes in; the classifying convolution and all that
    follows stay in float32. ``compile`` hands the network to ``torch.compile``, which pays for many
    pictures of few sizes.

    Raises: UserError for an unknown precision, fp16 on a CPU, or ``compile`` without a compiler.
    """
    if isinstance(model, BaseTTAModel):
        prepare_for_inference(model.module, precision=precision, compile=compile)
        return model
    if getattr(model, "compute_dtype", None) is not None:
        return model  # prepared before
    on_cpu = next(model.parameters()).device.type == "cpu"
    _check(precision, compile, on_cpu)
    model.eval()
    model.auxiliary_head = None
    fuse_conv_bn(model)
    if hasattr(model.decode_head, "stack_input_convs"):
        model.decode_head.stack_input_convs()
    dtype = PRECISIONS[precision]
    for part in (model.backbone, model.neck, model.decode_head):
        if part is None:
            continue
        part.requires_grad_(False)
        _cast(part, dtype)
        if not has_ops(part):  # of mmcv's, DCN takes NCHW alone
            part.to(memory_format=torch.channels_last)
            if on_cpu:
                if hasattr(part, "fuse_blocks"):
                    part.fuse_blocks()
                _fuse_convs(part)
        if compile:
            part.compile()
    model.compute_dtype = dtype
    model.runs_in_parallel = on_cpu and not compile  # compiled code keeps its number of threads
    return model


def _check(precision: str, compile: bool, on_cpu: bool) -> None:
    if precision not in PRECISIONS:
        raise UserError(f"There is no precision={precision!r}; choose {', '.join(PRECISIONS)}.")
    if precision == "fp16" and on_cpu:
        raise UserError("precision=fp16 needs a GPU: CPUs have no arithmetic for it; choose bf16.")
    if compile and on_cpu and not any(map(shutil.which, ("g++", "clang++", "c++"))):
        raise UserError(
            "compile=True needs a C++ compiler, and none is on the PATH: install g++, or leave "
            "compile out."
        )


def _cast(part: nn.Module, dtype: torch.dtype) -> None:
    classifier = getattr(part, "conv_seg", None)
    if classifier is None or dtype is torch.float32:
        part.to(dtype)
        return
    # Scores of eight significant bits would tie at many a border.
    part.conv_seg = None
    part.to(dtype)
    part.conv_seg = nn.Sequential(_ToFloat32(), classifier.float())


class _ToFloat32(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.float()


def _fuse_convs(module: nn.Module) -> None:
    """Make what is left `WinogradConv2d` or `FusedConv2d`, with the ReLU that comes next in a row.

    Convolutions to few channels, such as the classifier, gain nothing.
    """
    steps = [(n, child) for n, child in module.named_children() if type(child) is not nn.Identity]
    for (name, child), (after, following) in zip_longest(steps, steps[1:], fillvalue=("", None)):
        in_a_row = isinstance(module, nn.Sequential)
        if in_a_row and isinstance(following, nn.ReLU) and fuses(child):
            setattr(module, name, fused(child, relu=True))
            setattr(module, after, nn.Identity())
        elif suits_winograd(child):
            setattr(module, name, WinogradConv2d(child))
        elif in_a_row and fuses(child) and child.out_channels >= FEWEST_CHANNELS:
            setattr(module, name, fused(child, relu=False))
        else:
            _fuse_convs(child)
