"""One side of compare_techniques.py: a prepared model with one technique switched off."""

import inspect
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from inference_worker import Side
from side_by_side import serve
from torch import Tensor

from mmseg_gc.accelerate import convolution, derived, kernels, modules, prepare
from mmseg_gc.accelerate.cpu import (
    attention,
    memory,
    operators,
    winograd,
    winograd_filters,
    winograd_transforms,
)
from mmseg_gc.inference import memory_budget, parallel
from mmseg_gc.models.segmentors import EncoderDecoder


class Technique(NamedTuple):
    """``substitute`` in the place of ``name`` in ``owner`` takes it away.

    ``code`` is what could be deleted with it.
    """

    owner: object
    name: str
    substitute: object
    code: tuple[object, ...]

    def switch_off(self) -> None:
        setattr(self.owner, self.name, self.substitute)


@contextmanager
def _fresh(count: int, like: Tensor) -> Iterator[Tensor]:
    yield like.new_empty(count)


def _not_over_the_shortcut(*args: Any) -> Tensor:
    return convolution.conv_norm_act(*args[:5])


TECHNIQUES = {
    "Winograd's convolutions": Technique(
        winograd,
        "suits_winograd",
        lambda conv: False,
        (
            winograd,
            winograd_filters,
            winograd_transforms,
        ),
    ),
    "tiles are chosen by the size of the map (fp32)": Technique(
        winograd,
        "best_tile",
        lambda *args: winograd_transforms.EXACT,
        (winograd_transforms.best_tile.__wrapped__,),
    ),
    "convolution, addition and ReLU as one of oneDNN's operators": Technique(
        operators,
        "missing",
        lambda: operators.PRIVATE[:1],  # as a torch without it would say
        (operators.convolution, operators.linear, operators.missing, operators.available),
    ),
    "the head reads its input once": Technique(
        modules._ReadsInputOnce,
        "_convs_are_alike",
        lambda self: False,
        (modules._ReadsInputOnce, modules.FastFCNHead, modules.FastGCHead),
    ),
    "blocks write over their shortcut": Technique(
        modules, "conv_norm_act", _not_over_the_shortcut, (modules.FastResLayer, modules._is_new)
    ),
    "a small image's channels go in parts": Technique(
        winograd,
        "TILES_PER_CHANNEL",
        math.inf,
        (winograd._channels_at_once, kernels.Kernels.of_channels),
    ),
    "attention goes some queries at a time": Technique(
        attention,
        "suits_blocks",
        lambda *rows: False,
        (attention, modules._AttendsInBlocks),
    ),
    "transformed filters are kept (bf16)": Technique(
        winograd_filters._kept, "max_bytes", 0, (winograd_filters._filters, derived)
    ),
    "weights are kept as oneDNN reads them (bf16)": Technique(
        convolution._on_cpus, "max_bytes", -1, (convolution._packed, operators.packed)
    ),
    "scratch is used again": Technique(
        winograd, "scratch", _fresh, (winograd.scratch.__wrapped__,)
    ),
    "maps that the head doesn't read are let go": Technique(
        prepare,
        "_stages_read",
        lambda model: None,
        (prepare._stages_read, EncoderDecoder._head_features),
    ),
    "free memory is given back before wide maps (fp32)": Technique(
        modules, "give_back_memory", lambda: None, (memory,)
    ),
    "Winograd's work in halves (fp32)": Technique(
        parallel, "in_halves", lambda function, items: function(items), (parallel,)
    ),
    "small images together (slide, ms+flip)": Technique(
        memory_budget, "CPU_BYTES", 0, (winograd._Images._row_pieces,)
    ),
}


class Variant(Side):
    """The model of a row with ``off``, one of `TECHNIQUES` or ``""``, taken away."""

    def __init__(self, off: str, **kwargs: Any) -> None:
        super().__init__(package="mmseg_gc", device="cpu", **kwargs)
        self.off = off
        if off:
            TECHNIQUES[off].switch_off()

    def num_lines(self) -> int:
        code = TECHNIQUES[self.off].code if self.off else ()
        return sum(len(inspect.getsource(one).splitlines()) for one in code)

    def save_logits(self, path: str) -> None:
        """The network's, of random numbers (1, 3, 256, 512)."""
        image = torch.randn(1, 3, 256, 512, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            np.save(path, self.model.encode_decode(image, [{}]).float().numpy())


def main() -> None:
    variants: list[Variant] = []
    names = ("load", "seconds", "memory", "num_lines", "save_logits")
    serve(
        {"start": lambda **kwargs: variants.append(Variant(**kwargs))}
        | {name: lambda name=name, **kwargs: getattr(variants[0], name)(**kwargs) for name in names}
    )


if __name__ == "__main__":
    main()
