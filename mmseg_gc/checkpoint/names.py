"""Names of weights: from other programs' files to this package's, and what differs between two."""

import re
from collections import OrderedDict
from collections.abc import Mapping

import torch

from mmseg_gc.detector_names import upgrade_detector
from mmseg_gc.errors import UserError

# Parts that ImageNet classifiers and their trainers have and a backbone doesn't.
CLASSIFIER = re.compile(r"^(fc|head|neck)\.")
# Parts that GCNet and DCN put into a backbone that was trained without them.
ADDED_LATER = re.compile(r"\.(\w+_block\w*|conv2\.conv_offset)\.")

# Children by which a head is known, to its class; the heads enter themselves (`BaseDecodeHead`).
HEADS_BY_PARTS: dict[frozenset[str], str] = {}


def clean_state_dict(checkpoint: Mapping) -> OrderedDict:
    """The weights in ``checkpoint`` under the names that this package's models use.

    Takes the weights from a training checkpoint or a bare state dict, drops what a data-parallel
    wrapper puts before each name, and drops the ``ema_*`` copies that mmsegmentation 0.x leaves
    beside the averaged weights. Detectors of mmdetection 1.x get the names of 2.x.
    """
    weights = checkpoint
    for key in ("state_dict", "model"):
        if isinstance(checkpoint.get(key), Mapping):
            weights = checkpoint[key]
            break
    cleaned = OrderedDict()
    for key, value in weights.items():
        while key.startswith("module."):
            key = key.removeprefix("module.")
        if isinstance(value, torch.Tensor) and not key.startswith("ema_"):
            cleaned[key] = value
    if not cleaned:
        raise UserError("the checkpoint holds no weights: no tensors under `state_dict`.")
    return upgrade_detector(cleaned)


def backbone_weights(weights: Mapping[str, torch.Tensor], prefix: str) -> OrderedDict:
    """A backbone's weights by its own names: all of a bare file, else those under ``prefix``."""
    prefix = prefix.rstrip(".") + "."
    if any(name.startswith(prefix) for name in weights):
        weights = {
            name.removeprefix(prefix): value
            for name, value in weights.items()
            if name.startswith(prefix)
        }
    return OrderedDict(
        (name, value) for name, value in weights.items() if not CLASSIFIER.match(name)
    )


def is_added_later(name: str) -> bool:
    """Whether ``name`` is of a plugin or an offset convolution, which ImageNet files lack."""
    return ADDED_LATER.search(name) is not None


def describe_mismatch(
    source: object,
    missing: list[str],
    unexpected: list[str],
    reshaped: list[str],
    own: Mapping[str, torch.Tensor],
    weights: Mapping[str, torch.Tensor],
) -> str:
    """One sentence about weights that don't fit, grouped by the modules they belong to."""
    classes = [k for k in reshaped if k.endswith("conv_seg.weight")]
    if classes and all("conv_seg." in k for k in reshaped) and not (missing or unexpected):
        key = classes[0]
        return (
            f"{source} was trained for {len(weights[key])} classes, this config's "
            f"{key.split('.')[0]} has num_classes={len(own[key])}."
        )
    of_file, here = head_of(weights), head_of(own)
    if of_file and here and of_file != here:
        return (
            f"{source} doesn't fit the model: its decode_head is {of_file}, this config's {here}."
        )
    shapes = [f"{k} {tuple(weights[k].shape)} for {tuple(own[k].shape)}" for k in reshaped]
    parts = [
        f"{name}: {_grouped(keys)}"
        for name, keys in (("missing", missing), ("unexpected", unexpected), ("shape", shapes))
        if keys
    ]
    return f"{source} doesn't fit the model ({'; '.join(parts)})."


def _grouped(keys: list[str]) -> str:
    """Keys by their first two parts with counts, one example each: ``backbone.layer1 (12, …)``."""
    groups: dict[str, list[str]] = {}
    for key in keys:
        groups.setdefault(".".join(key.split(" ")[0].split(".")[:2]), []).append(key)
    return ", ".join(f"{name}.* ({len(k)}, e.g. {k[0]})" for name, k in groups.items())


def head_of(weights: Mapping[str, torch.Tensor]) -> str:
    """The class of the decode head that ``weights`` are of, the last one's of several; or ''."""
    keys = [key.split(".")[1:] for key in weights if key.startswith("decode_head.")]
    last = max((int(key[0]) for key in keys if key[0].isdecimal()), default=None)
    parts = {
        key[0] if last is None else key[1] for key in keys if last is None or key[0] == str(last)
    }
    known = [names for names in HEADS_BY_PARTS if names <= parts]
    return HEADS_BY_PARTS[max(known, key=len)] if known else ""
