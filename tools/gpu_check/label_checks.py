"""Labels and logits of a GPU beside the CPU's, in every way of testing and every precision."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from measures import allow_tf32, memory_peak
from torch import Tensor, nn

from gpu_check import inputs, nets
from gpu_check.check import Check, CheckFailed
from gpu_check.setting import Setting

SLIDE = {
    "model.test_cfg.mode": "slide",
    "model.test_cfg.crop_size": (65, 65),
    "model.test_cfg.stride": (43, 43),
    "model.decode_head.align_corners": True,
}
WHOLE = {"model.test_cfg": dict(mode="whole", _delete_=True)}
BUDGET = 300 << 20
# The share of labels that may differ from the CPU's, and how far logits may be off, relative to the
# largest. None is the plain network. Of random weights many logits are close to one another.
PRECISIONS: dict[str | None, tuple[float, float]] = {
    None: (1e-4, 1e-4),
    "fp32": (1e-3, 3e-4),
    "fp16": (0.02, 0.02),
    "bf16": (0.1, 0.2),
}


class Way(NamedTuple):
    """A way of testing: options of the config, and the batch for a size (h, w)."""

    options: dict[str, Any]
    batch: Callable[[tuple[int, int]], dict]
    wrap: Callable[[nn.Module], nn.Module] = lambda model: model


def _resized(size: tuple[int, int]) -> dict:
    return inputs.test_batch(size, ori_shape=(2 * size[0] + 3, size[1] + 5))


def _padded_and_flipped(size: tuple[int, int]) -> dict:
    return inputs.test_batch(
        size,
        ori_shape=(size[0] - 8, size[1] - 9),
        flip=True,
        flip_direction="horizontal",
        img_padding_size=(0, 9, 0, 8),
    )


WAYS = {
    "whole": Way(WHOLE, inputs.test_batch),
    "resized": Way(WHOLE, _resized),
    "padded-flipped": Way(WHOLE, _padded_and_flipped),
    "slide": Way(SLIDE, inputs.test_batch),
    "ms-flip": Way(WHOLE, partial(inputs.views, scales=(0.5, 1.0, 1.75)), nets.over_views),
    "ms-flip-slide": Way(SLIDE, partial(inputs.views, scales=(1.0, 1.5)), nets.over_views),
}


def labels_agree(setting: Setting, way: Way) -> str:
    """Of one way, plain and prepared in each precision."""
    data = way.batch(setting.size)
    want = nets.labels(way.wrap(nets.build_small(way.options, "cpu")), data)

    def difference(precision: str | None) -> float:
        model = nets.build_small(way.options, setting.device)
        found = nets.labels(way.wrap(nets.prepared(model, precision)), data)
        if found.shape != want.shape:
            raise CheckFailed(f"shape {tuple(found.shape)}, not {tuple(want.shape)}")
        return share_unequal(found, want)

    bounds = {precision: share for precision, (share, _) in PRECISIONS.items()}
    return _in_each_precision(setting, difference, bounds, "{:.3%} of the labels differ")


def logits_agree(setting: Setting) -> str:
    """With ``return_logits``, at the image's own size."""
    options = WHOLE | {"model.test_cfg": dict(mode="whole", return_logits=True, _delete_=True)}
    data = _resized(setting.size)
    want = nets.predict(nets.build_small(options, "cpu"), data).seg_logits.data

    def difference(precision: str | None) -> float:
        model = nets.prepared(nets.build_small(options, setting.device), precision)
        found = nets.predict(model, data).seg_logits.data.cpu().float()
        return float((found - want).abs().max() / want.abs().max())

    bounds = {precision: relative for precision, (_, relative) in PRECISIONS.items()}
    return _in_each_precision(setting, difference, bounds, "off by {:.1e} of the largest")


def _in_each_precision(
    setting: Setting,
    difference: Callable[[str | None], float],
    bounds: dict[str | None, float],
    text: str,
) -> str:
    notes, wrong = [], []
    for precision, bound in bounds.items():
        name = precision or "plain"
        lacking = setting.lacks(precision)
        if lacking:
            notes.append(f"{name} skipped ({lacking})")
            continue
        try:
            with allow_tf32(False):
                found = difference(precision)
        except Exception as error:  # the other precisions are still worth knowing
            wrong.append(f"{name} raised {type(error).__name__}: {' '.join(str(error).split())}")
            continue
        notes.append(f"{name} {text.format(found)}")
        if not found <= bound:
            wrong.append(f"{notes[-1]}, more than {text.format(bound)}")
    if wrong:
        raise CheckFailed("; ".join(wrong))
    return "; ".join(notes)


def share_unequal(one: Tensor, other: Tensor) -> float:
    return float((one != other).float().mean())


def memory_budget_holds(setting: Setting) -> str:
    """The same labels through fewer windows at once, in the memory that was allowed."""
    data = inputs.test_batch(setting.size)
    bounded_options = SLIDE | {"model.test_cfg.memory_budget": f"{BUDGET >> 20}MiB"}
    with allow_tf32(False):
        free = nets.build_small(SLIDE, setting.device)
        want = nets.labels(free, data)
        bounded = nets.build_small(bounded_options, setting.device)
        peak = memory_peak(lambda: nets.labels(bounded, data), setting.device)
        differ = share_unequal(nets.labels(bounded, data), want)
    note = f"{peak.above / 2**20:.0f} MiB of {BUDGET >> 20}, {differ:.3%} of the labels differ"
    if differ > 1e-3 or setting.cuda and peak.above > BUDGET:
        raise CheckFailed(note)
    return note


def counts_are_equal(setting: Setting) -> str:
    """Confusion counts of random label maps with ignored pixels, and wrong ids refused."""
    from mmseg_gc.evaluation.confusion import confusion_counts

    generator = torch.Generator().manual_seed(0)
    for classes in (2, 19, 150):
        pred, truth = (
            torch.randint(0, classes, (257, 513), generator=generator, dtype=torch.uint8)
            for _ in range(2)
        )
        truth[:50] = 255
        key = truth[50:].long() * classes + pred[50:]
        want = torch.bincount(key.flatten(), minlength=classes**2).view(classes, classes)
        found = confusion_counts(pred.to(setting.device), truth.to(setting.device), classes, 255)
        if not torch.equal(found.cpu(), want):
            raise CheckFailed(f"counts of {classes} classes differ from those of bincount")
    return "2, 19 and 150 classes, exact"


CHECKS = [
    *(
        Check(
            f"labels/{name}",
            f"labels of the GPU beside the CPU's: {name}, in every precision",
            partial(labels_agree, way=way),
            limit=90,
        )
        for name, way in WAYS.items()
    ),
    Check("labels/budget", "labels within test_cfg.memory_budget", memory_budget_holds),
    Check("logits", "logits of the GPU beside the CPU's, in every precision", logits_agree),
    Check("counts", "confusion counts beside torch.bincount", counts_are_equal),
]
