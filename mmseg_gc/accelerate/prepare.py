"""The one switch: what makes a trained segmentor ready for fast inference."""

import logging
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModel, BaseTTAModel
from torch import Tensor, nn

from mmseg_gc.accelerate import comparison
from mmseg_gc.accelerate.cpu import operators
from mmseg_gc.accelerate.cpu.memory import give_back_memory
from mmseg_gc.accelerate.cpu.recompute import RECOMPUTING
from mmseg_gc.accelerate.cpu.winograd_training import TrainedWinogradConv2d
from mmseg_gc.accelerate.kernels import BATCH_NORMS
from mmseg_gc.accelerate.modules import CLASSIFIERS, FAST
from mmseg_gc.accelerate.replacement import Replacement, as_subclass, replace
from mmseg_gc.environment import require_bf16, require_compiler
from mmseg_gc.errors import UserError
from mmseg_gc.models.backbones.backbone import Backbone
from mmseg_gc.models.decode_heads import BaseDecodeHead, Cascade
from mmseg_gc.models.layers.compiled_ops import has_ops

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
ACCELERATE = ("auto", "none")
PACKAGE = "mmseg_gc."
# What a runner made of a model before it knew that there is nothing to train.
UNTRAINED = {fast: plain for plain, fast in RECOMPUTING.items()} | {
    TrainedWinogradConv2d: nn.Conv2d
}


def prepare_for_inference(
    model: BaseModel, *, precision: str = "fp32", compile: bool = False, accelerate: str = "auto"
) -> nn.Module:
    """Make ``model``, a segmentor or a `SegTTAModel` of one, fast; it learns no more.

    ``accelerate="auto"``: modules of exactly known classes (mmcv's ConvModule, this package's
    blocks and heads, rows of torch's layers) give way to those of `accelerate.modules`, which hold
    the same weights: ``state_dict``, ``to``, ``copy`` and ``pickle`` stay what they are. Layers lie
    channels last. On a CPU 3x3 convolutions of 128 channels and more are Winograd's. One small
    input is asked before and after; where the logits differ by more than `comparison.BOUNDS`, the
    model stays as it was and a warning names the layer. ``accelerate="none"``: none of it.

    ``precision`` is fp32, bf16 or fp16: what the network computes in; batch norms, the classifying
    convolution and all that follows stay in float32. In float32 logits stay within 1e-4 of the
    plain model's, relative to the largest; in bfloat16 Winograd's convolutions have an error of
    0.03 of their output's norm, where direct ones have 0.002. ``compile`` hands the network to
    ``torch.compile``, which pays for many images of few sizes.

    Raises: UserError for an unknown precision or ``accelerate``, fp16 on a CPU, bf16 on a GPU
    before Ampere, or ``compile`` without a compiler.
    """
    check_accelerate(accelerate)
    if isinstance(model, BaseTTAModel):
        prepare_for_inference(
            model.module, precision=precision, compile=compile, accelerate=accelerate
        )
        return model
    if getattr(model, "compute_dtype", None) is not None:
        return model  # prepared before
    device = next(model.parameters()).device.type
    _check(precision, compile, device)
    model.eval().requires_grad_(False)
    dtype = PRECISIONS[precision]
    if accelerate == "auto":
        how = _accelerate(model, dtype)
    else:
        _cast(model, dtype)
        how = "the plain modules"
    print_log(
        f"Inference on {device} in {precision}, accelerate={accelerate}: {how}.", logger="current"
    )
    if compile:
        for part in _network(model).values():
            part.compile()
    if accelerate == "auto" or dtype is not torch.float32:
        model.compute_dtype = dtype
    if device == "cpu":
        give_back_memory()
    if accelerate == "auto" and not compile:
        model.stages_read = _stages_read(model)
    return model


def check_accelerate(accelerate: str) -> None:
    """Raises: UserError for an unknown value of the switch."""
    if accelerate not in ACCELERATE:
        raise UserError(f"There is no accelerate={accelerate!r}; choose {' or '.join(ACCELERATE)}.")


def _check(precision: str, compile: bool, device_type: str) -> None:
    if precision not in PRECISIONS:
        raise UserError(f"There is no precision={precision!r}; choose {', '.join(PRECISIONS)}.")
    if precision == "fp16" and device_type == "cpu":
        raise UserError("precision=fp16 needs a GPU: CPUs have no arithmetic for it; choose bf16.")
    if precision == "bf16" and device_type == "cuda":
        require_bf16("precision='bf16'", "choose fp16 or fp32")
    if compile:
        require_compiler("compile=True", device_type)


def _network(model: nn.Module) -> dict[str, nn.Module]:
    """The parts of a segmentor that make logits of an image."""
    names = ("backbone", "neck", "decode_head")
    return {name: part for name, part in model.named_children() if name in names}


def _stages_read(model: nn.Module) -> tuple[int, ...] | None:
    """Stages of the backbone whose maps the decode head reads; None if that isn't known."""
    backbone, head = getattr(model, "backbone", None), getattr(model, "decode_head", None)
    if not isinstance(backbone, Backbone) or not _is_ours(backbone, type(backbone).forward):
        return None
    heads: list[Any] = list(head) if isinstance(head, Cascade) else [head]
    known = all(isinstance(one, BaseDecodeHead) and _is_ours(one, type(one)) for one in heads)
    if getattr(model, "with_neck", True) or not known:
        return None
    places = {place for one in heads for place in one.maps_read()}
    return tuple(sorted({backbone.out_indices[place] for place in places}))


def _is_ours(part: nn.Module, looks: Any) -> bool:
    """Whether ``looks``, the class of ``part`` or its forward, is this package's, as it stands."""
    return looks.__module__.startswith(PACKAGE) and "forward" not in part.__dict__


def _accelerate(model: BaseModel, dtype: torch.dtype) -> str:
    """Put fast modules in where they say the same, cast all, and tell what was done."""
    parts = {name: part for name, part in _network(model).items() if not has_ops(part)}
    replace(model, UNTRAINED)
    image = comparison.small_image(model)
    try:
        expected = None if image is None else comparison.logits(model, image)
    except Exception as error:  # whatever a custom network raises
        _cast(model, dtype)
        size = "x".join(map(str, comparison.SIZE))
        return f"the plain modules, which can't be tried on an image of {size} ({error})"
    auxiliary = getattr(model, "auxiliary_head", None)
    heads: list[Any] = [*parts.values(), auxiliary]
    for part in heads:  # mmcv's ops, such as DCN, take NCHW alone
        if part is not None:
            part.to(memory_format=torch.channels_last)
    replaced = replace(model, FAST, parts)
    if next(model.parameters()).is_cuda:
        _classify_exactly(getattr(model, "decode_head", None))
    if image is not None:
        before = image.dtype
        _fall_back(model, image, expected, replaced, before)
        _cast(model, dtype)
        if dtype != before:
            _fall_back(model, image, expected, replaced, dtype)
    else:
        _cast(model, dtype)
    if not replaced:
        return "the plain modules"
    how = f"{len(replaced)} modules do convolution, norm and activation at once"
    if operators.available() or image is None or image.device.type != "cpu":
        return how
    return f"{how}, by ordinary convolutions, since this torch lacks {operators.missing()[0]}"


def _fall_back(
    model: nn.Module,
    image: Tensor,
    expected: list[Tensor] | None,
    replaced: list[Replacement],
    dtype: torch.dtype,
) -> None:
    """Undo, and empty, ``replaced`` if ``model`` doesn't give the ``expected`` logits any more."""
    if not replaced or expected is None:
        return
    try:
        wrong = comparison.differs(comparison.logits(model, image), expected, dtype)
        why = "gives other numbers"
    except Exception as error:  # whatever it is, the plain model did not raise it
        wrong, why = True, f"raises {type(error).__name__} ({error})"
    if not wrong:
        return
    for one in replaced:
        one.undo()
    _take_any_dtype(model)  # the plain backbone too
    name = comparison.first_that_differs(model, image, replaced, dtype)
    print_log(
        f"accelerate=auto is of no use here: made fast, {name} {why}. The model runs as it is.",
        logger="current",
        level=logging.WARNING,
    )
    replaced.clear()


def _cast(model: BaseModel, dtype: torch.dtype) -> None:
    """Let the network and auxiliary heads of ``model`` compute in ``dtype``, layer by layer."""
    _take_any_dtype(model)
    parts = [*_network(model).values(), getattr(model, "auxiliary_head", None)]
    for part in parts:
        if part is None or dtype is torch.float32:
            continue
        _classify_exactly(part)
        for module in part.modules():
            if not isinstance(module, (*CLASSIFIERS.values(), *BATCH_NORMS)):
                _cast_one(module, dtype)


def _take_any_dtype(model: nn.Module) -> None:
    backbone = dict(model.named_children()).get("backbone")
    if backbone is not None and _as_weights not in backbone._forward_pre_hooks.values():
        backbone.register_forward_pre_hook(_as_weights)


def _classify_exactly(head: Any) -> None:
    """Keep the classifying convolution in float32: rounded, logits would tie at many a border."""
    for one in head if isinstance(head, nn.ModuleList) else [head]:  # of a cascade each
        for name in ("conv_seg", "fc_seg"):
            kind = CLASSIFIERS.get(type(getattr(one, name, None)))
            if kind is not None:
                setattr(one, name, as_subclass(getattr(one, name), kind))


def _cast_one(module: nn.Module, dtype: torch.dtype) -> None:
    for parameter in module.parameters(recurse=False):
        if parameter.is_floating_point():
            parameter.data = parameter.data.to(dtype)
    for name, buffer in module.named_buffers(recurse=False):
        if buffer.is_floating_point():
            setattr(module, name, buffer.to(dtype))


def _as_weights(backbone: nn.Module, args: tuple) -> tuple:
    """Images in the dtype of the weights, whatever these were cast to since."""
    dtypes = (p.dtype for p in backbone.parameters() if p.is_floating_point())
    dtype = next(dtypes, None)
    if dtype is None or not isinstance(args[0], Tensor) or not args[0].is_floating_point():
        return args
    return args[0].to(dtype), *args[1:]
