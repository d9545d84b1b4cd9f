"""Weights from a checkpoint into a model, or into a smaller file."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from mmengine.logging import print_log
from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import nn

from mmseg_gc.checkpoint.addresses import load_checkpoint
from mmseg_gc.checkpoint.download import sha256_of
from mmseg_gc.checkpoint.files import save_checkpoint
from mmseg_gc.checkpoint.http import shown
from mmseg_gc.checkpoint.names import (
    backbone_weights,
    clean_state_dict,
    describe_mismatch,
    is_added_later,
)
from mmseg_gc.errors import UserError
from mmseg_gc.finite import listed, spoilt


def load_into(
    model: nn.Module, checkpoint: Mapping, *, source: str | Path = "checkpoint", strict: bool = True
) -> None:
    """Copy the weights of ``checkpoint`` into ``model``.

    ``strict=False`` copies what fits and logs the rest as a warning.

    Raises:
        UserError: names or shapes differ (with ``strict``), nothing fits at all, or there is NaN or
            infinity where the model as it is built has none.
    """
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.get_submodule("module")
    source = shown(source)
    own = model.state_dict()
    weights = clean_state_dict(checkpoint)
    # Counters of BN say how long it trained; nothing is computed from them here.
    missing = [k for k in own if k not in weights and not k.endswith("num_batches_tracked")]
    unexpected = [k for k in weights if k not in own]
    reshaped = [k for k in own if k in weights and own[k].shape != weights[k].shape]
    fitting = {k: v for k, v in weights.items() if k in own and k not in reshaped}
    if missing or unexpected or reshaped:
        message = describe_mismatch(source, missing, unexpected, reshaped, own, weights)
        if strict:
            raise UserError(
                f"{message} Use its own config, or pass --non-strict to load what fits."
            )
        if untouched := [*missing, *reshaped]:
            message += f" {listed(untouched)} keep what they were built with."
        print_log(message, logger="current", level=logging.WARNING)
    if not fitting:
        raise UserError(f"{source} has no weight that fits this model; it belongs to another one.")
    if bad := [name for name in spoilt(fitting) if not spoilt({name: own[name]})]:
        raise UserError(
            f"{source} can't be used: {listed(bad)} hold NaN, infinity or a negative variance, as "
            "after a training that diverged; take an older checkpoint."
        )
    model.load_state_dict(fitting, strict=False)


def load_backbone(backbone: nn.Module, filename: str, prefix: str = "backbone.") -> None:
    """Copy ImageNet weights, or those that a whole model has under ``prefix``, into ``backbone``.

    What was put into the backbone since, context blocks and the offsets of deformable convolution,
    keeps the weights that it starts with.

    Raises:
        UserError: the file can't be read, or anything else is missing, unexpected or reshaped.
    """
    weights = backbone_weights(clean_state_dict(load_checkpoint(filename)), prefix)
    for name, value in backbone.state_dict().items():
        if name not in weights and is_added_later(name):
            weights[name] = value
    load_into(backbone, weights, source=filename)


def publish_checkpoint(source: str | Path, target: str | Path) -> Path:
    """Write the weights and meta of ``source`` alone to ``target`` with its hash in the name.

    ``model.pth`` becomes ``model-xxxxxxxx.pth``, where the digits begin the file's SHA-256; a file
    that is ``model.pth`` stays as it is.
    """
    checkpoint = load_checkpoint(source)
    target = Path(target)
    slim = {"meta": checkpoint.get("meta", {}), "state_dict": clean_state_dict(checkpoint)}
    unnamed = target.with_name(f".{target.stem}.unnamed{target.suffix}")
    try:
        save_checkpoint(slim, unnamed)
        named = target.with_name(f"{target.stem}-{sha256_of(unnamed)[:8]}{target.suffix}")
        os.replace(unnamed, named)
    finally:
        unnamed.unlink(missing_ok=True)
    return named
