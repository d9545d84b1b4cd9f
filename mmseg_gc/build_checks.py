"""Do the parts of a segmentor fit: channels and places of feature maps, from end to end."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from mmseg_gc.errors import UserError

# Pixels of the trial image: a few after the deepest encoders.
SIDE = 64
PACKAGE = "mmseg_gc."


def check_channels(model: Any, resnet: type[nn.Module]) -> None:
    """Refuse a segmentor whose heads or preprocessor don't fit its backbone.

    The widths of a ``resnet`` with that class's ``forward`` are known; another backbone, and every
    neck, is tried on a small image of zeros. One that can't be tried so isn't checked, nor is a
    head that works with what it gets.

    Raises:
        UserError: the parts don't fit, with the keys of both.
    """
    channels = _input_channels(model, resnet)
    features = _features(model, channels, resnet)
    if features is None:
        return
    widths = [feature.shape[1] for feature in features]
    giver = "model.backbone" if getattr(model, "neck", None) is None else "model.neck"
    for name, head in _heads(model):
        fault = _fault(head, widths)
        if fault is not None and not _works(head, features):
            key, cure = fault
            raise UserError(
                f"config key model.{name}.{key} doesn't fit {giver}, which gives "
                f"{len(widths)} feature maps of {', '.join(map(str, widths))} channels; {cure}."
            )


def _heads(model: Any) -> Iterator[tuple[str, nn.Module]]:
    """All heads by their keys in the config."""
    for name in ("decode_head", "auxiliary_head"):
        part = getattr(model, name, None)
        if isinstance(part, nn.ModuleList):
            yield from ((f"{name}.{i}", head) for i, head in enumerate(part))
        elif part is not None:
            yield name, part


def _input_channels(model: Any, resnet: type[nn.Module]) -> int | None:
    """Channels of the images that ``model`` takes, after a look at the preprocessor's."""
    convolutions = (m for m in model.backbone.modules() if isinstance(m, nn.Conv2d))
    first = next(convolutions, None)
    channels = getattr(model.backbone, "in_channels", first and first.in_channels)
    if not isinstance(channels, int):
        return None
    for key in ("mean", "std"):
        values = getattr(model.data_preprocessor, key, None)
        if not isinstance(values, Tensor) or values.numel() in (1, channels):
            continue
        known = _is_known(model.backbone, resnet)
        if not known and _outputs(model.backbone, values.numel()):
            return values.numel()
        raise UserError(
            f"config key model.data_preprocessor.{key} has {values.numel()} numbers, but "
            f"model.backbone.in_channels is {channels}; give one number a channel."
        )
    return channels


def _is_known(backbone: nn.Module, resnet: type[nn.Module]) -> bool:
    return isinstance(backbone, resnet) and type(backbone).forward is resnet.forward


def _features(model: Any, channels: int | None, resnet: type[nn.Module]) -> list[Tensor] | None:
    """Feature maps as the heads get them, of meaningless content; None if they can't be had."""
    if _is_known(model.backbone, resnet):
        stages = [getattr(model.backbone, name)[-1] for name in model.backbone.res_layers]
        widths = [getattr(block, "conv3", block.conv2).out_channels for block in stages]
        features: list[Tensor] | None = [
            torch.zeros(1, widths[i], 8, 8) for i in model.backbone.out_indices
        ]
    else:
        features = None if channels is None else _outputs(model.backbone, channels)
    neck = getattr(model, "neck", None)
    return features if neck is None or features is None else _try(neck, tuple(features))


def _outputs(backbone: nn.Module, channels: int) -> list[Tensor] | None:
    return _try(backbone, torch.zeros(1, channels, SIDE, SIDE))


def _try(module: nn.Module, inputs: Tensor | tuple[Tensor, ...]) -> list[Tensor] | None:
    """The maps (1, C, h, w) that ``module`` makes of ``inputs``; None if it can't, or others."""
    outputs = _run(module, inputs)
    outputs = [outputs] if isinstance(outputs, Tensor) else outputs
    if not isinstance(outputs, Sequence):
        return None
    maps = [output for output in outputs if isinstance(output, Tensor) and output.dim() == 4]
    return maps if maps and len(maps) == len(outputs) else None


def _works(head: nn.Module, features: list[Tensor]) -> bool:
    """Whether a head with a ``forward`` of its own takes ``features`` as they are."""
    own = (type(head).forward, getattr(type(head), "_transform_inputs", None))
    if all(getattr(method, "__module__", PACKAGE).startswith(PACKAGE) for method in own):
        return False
    return _run(head, tuple(features)) is not None


def _run(module: nn.Module, inputs: Tensor | tuple[Tensor, ...]) -> object:
    """What ``module`` makes of ``inputs`` when it doesn't train; None if it raises.

    It leaves the module and the random numbers as they were.
    """
    parameters = list(module.parameters())
    if any(isinstance(parameter, UninitializedParameter) for parameter in parameters):
        return None
    device = parameters[0].device if parameters else None
    modes = [(part, part.training) for part in module.modules()]
    try:
        for part, _ in modes:
            part.training = False
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            if isinstance(inputs, Tensor):
                return module(inputs.to(device))
            return module(tuple(one.to(device) for one in inputs))
    except Exception:  # a user's own code may want other sizes, a GPU, or anything
        return None
    finally:
        for part, training in modes:
            part.training = training


def _fault(head: nn.Module, widths: list[int]) -> tuple[str, str] | None:
    """The key of ``head`` that doesn't fit maps of these ``widths``, and the cure."""
    indices = getattr(head, "in_index", None)
    channels = getattr(head, "in_channels", None)
    places: list[Any] = list(indices) if isinstance(indices, Sequence) else [indices]
    if not all(isinstance(place, int) for place in places):
        return None
    for place in places:
        if not -len(widths) <= place < len(widths):
            return f"in_index={indices}", f"count from 0 to {len(widths) - 1}"
    given = [widths[place] for place in places]
    if getattr(head, "input_transform", None) == "resize_concat":
        given = [sum(given)]
        cure = f"give in_channels that add up to {given[0]}"
    else:
        cure = f"set in_channels={given if isinstance(indices, Sequence) else given[0]}"
    wanted = list(channels) if isinstance(channels, Sequence) else [channels]
    if not all(isinstance(width, int) for width in wanted):
        return None
    if wanted == given:
        return _further_fault(head, widths)
    return f"in_channels={channels} at in_index={indices}", cure


def _further_fault(head: nn.Module, widths: list[int]) -> tuple[str, str] | None:
    """The same of the further keys in which ``head`` names the width of a map."""
    for key, (place, width) in getattr(head, "width_keys", {}).items():
        if width != widths[place]:
            return f"{key}={width}", f"set {key}={widths[place]}"
    return None
