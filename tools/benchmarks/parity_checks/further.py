"""Losses and transforms that stand around GCNet in people's configs."""

import numpy as np
import torch
from torch import Tensor, nn

from parity_checks.data import IMAGES, LOAD, _compose, _drawn, _paths, _shown
from parity_checks.side import Results, Side

WEIGHTS = [0.5, 1.0, 2.0, 3.0]
LOSSES = {
    "DiceLoss": [
        {},
        dict(use_sigmoid=False, naive_dice=True, loss_weight=0.5),
        dict(use_sigmoid=False, ignore_index=1, reduction="sum"),
    ],
    "LovaszLoss": [
        dict(reduction="none"),
        dict(reduction="none", classes="all", class_weight=WEIGHTS),
        dict(per_image=True, classes=[0, 2], loss_weight=2.0),
    ],
    "TverskyLoss": [{}, dict(alpha=0.6, beta=0.4, class_weight=WEIGHTS), dict(ignore_index=2)],
    "OhemCrossEntropy": [
        dict(min_kept=1),
        dict(thres=0.1, min_kept=300),
        dict(thres=0.9, min_kept=10, class_weight=WEIGHTS),
    ],
    "HuasdorffDisstanceLoss": [{}, dict(loss_weight=0.5)],
}
# These take maps of ones and zeros, the second because the reference takes nothing else on a CPU.
OF_MAPS = {
    "DiceLoss": [{}, dict(naive_dice=True)],
    "FocalLoss": [{}, dict(gamma=0.5, alpha=[0.2, 0.4, 0.6, 0.8]), dict(class_weight=WEIGHTS)],
}
SAMPLERS = [dict(thresh=0.7, min_kept=2), dict(thresh=0.1, min_kept=150), dict(min_kept=99)]
TRANSFORMS = {
    "CLAHE": [dict(type="CLAHE", clip_limit=2.0, tile_grid_size=(4, 3))],
    "AdjustGamma": [dict(type="AdjustGamma", gamma=2.2)],
    "SegRescale": [dict(type="SegRescale", scale_factor=0.5)],
    "GenerateEdge": [dict(type="GenerateEdge", edge_width=4)],
}
# The reference leaves 64 bits.
TO_FLOATS = {"Rerange": dict(type="Rerange", min_value=-1), "RGB2Gray": dict(type="RGB2Gray")}
DRAWN = {
    "RandomCutOut": [
        dict(type="RandomCutOut", prob=0.8, n_holes=(1, 3), cutout_ratio=[(0.2, 0.3), (0.5, 0.1)])
    ],
    # What it rotates has other labels here: ids of no class in between.
    "RandomRotFlip, turned": [
        dict(type="RandomRotFlip", rotate_prob=0.0, flip_prob=0.8),
        dict(type="Resize", scale=(40, 40), keep_ratio=False),  # which notes the shape
    ],
}


def further_losses(side: Side) -> Results:
    """Each loss and its gradient, of labels with and without ignored pixels; each sampler."""
    side.say("further losses")
    draw = np.random.RandomState(0)
    logits = torch.from_numpy(draw.standard_normal((2, 4, 24, 33)) * 2).float()
    whole = torch.from_numpy(draw.randint(0, 4, (2, 24, 33)))
    labels = {"none ignored": whole, "some ignored": whole.where(logits[:, 0] < 2, 255)}
    values: dict[str, dict[str, Tensor | str]] = {}
    grads: dict[str, dict[str, Tensor | str]] = {}

    def add(name: str, case: str, module: nn.Module, *inputs: Tensor) -> None:
        x = inputs[0].clone().requires_grad_()
        value = module(x, *inputs[1:])
        value.backward()
        values.setdefault(f"{name}: loss", {})[case] = value.detach()
        grads.setdefault(f"{name}: gradient", {})[case] = x.grad

    for name, cases in LOSSES.items():
        for options in cases:
            for which, label in labels.items():
                module = side.registry.MODELS.build(dict(type=name, **options))
                add(name, f"{options}, {which}", module, logits, label)
    maps = torch.stack([whole == c for c in range(4)], dim=1).long()
    for name, cases in OF_MAPS.items():
        for options in cases:
            module = side.registry.MODELS.build(dict(type=name, **options))
            add(f"{name} of maps", str(options), module, logits, maps)
    edges = (labels["some ignored"] == 1).long().where(whole < 3, 255)
    add(
        "BoundaryLoss",
        "",
        side.registry.MODELS.build(dict(type="BoundaryLoss")),
        logits[:, :1],
        edges,
    )
    binary = side.registry.MODELS.build(
        dict(type="LovaszLoss", loss_type="binary", reduction="none")
    )
    add("LovaszLoss, binary", "", binary, logits[:, 0], labels["some ignored"] % 2)
    weights = {}
    for options in SAMPLERS:
        loss = side.registry.MODELS.build(dict(type="CrossEntropyLoss"))
        context = nn.Module()
        context.ignore_index, context.loss_decode = 255, loss
        sampler = side.registry.TASK_UTILS.build(
            dict(type="OHEMPixelSampler", context=context, **options)
        )
        weights[str(options)] = sampler.sample(logits, labels["some ignored"].unsqueeze(1))
    return {
        "losses": values,
        "gradients": grads,
        "exact": {"OHEMPixelSampler: weights of pixels": weights},
    }


def further_transforms(side: Side) -> Results:
    """Each transform on each image, on the same random draws where it draws."""
    side.say("further transforms")
    draws = 5 if side.quick else 40
    exact: dict[str, dict[str, Tensor | str]] = {}
    for name, steps in TRANSFORMS.items():
        transform = _compose(side, [*LOAD, *steps])
        found = {image: transform(_paths(side, image)) for image in IMAGES}
        exact[f"{name}: bit for bit"] = {
            f"{image} {key}": value
            for image, results in found.items()
            for key, value in {**_shown(results), **_edges(results)}.items()
        }
    figures = {
        f"{name}: levels": {
            image: torch.from_numpy(_compose(side, [*LOAD, step])(_paths(side, image))["img"])
            for image in IMAGES
        }
        for name, step in TO_FLOATS.items()
    }
    for name, steps in DRAWN.items():
        transform = _compose(side, [*LOAD, *steps])
        exact[f"{name}, {draws} draws: bit for bit"] = {
            f"{seed} {key}": value
            for seed in range(draws)
            for key, value in _drawn(lambda p, t=transform: t(_paths(side, p)), seed).items()
        }
    exact[f"RandomMosaic, {draws} draws: bit for bit"] = _mosaics(side, draws)
    return {"exact": exact, "figures": figures}


def _edges(results: dict) -> dict[str, Tensor]:
    edges = results.get("gt_edge_map")
    return {} if edges is None else {"gt_edge_map": torch.from_numpy(edges)}


def _mosaics(side: Side, draws: int) -> dict[str, Tensor | str]:
    mosaic = side.registry.TRANSFORMS.build(
        dict(type="RandomMosaic", prob=0.8, img_scale=(50, 64), pad_val=7)
    )
    shown: dict[str, Tensor | str] = {}
    for seed in range(draws):
        np.random.seed(seed)
        order = [mosaic.get_indices(range(len(IMAGES))), [seed % len(IMAGES)]]
        load = _compose(side, LOAD)
        others, (first,) = ([load(_paths(side, IMAGES[i])) for i in part] for part in order)
        made = mosaic({**first, "mix_results": others})
        for key in ("img", "gt_seg_map"):
            shown[f"{seed} {key}"] = torch.from_numpy(made[key])
        shown[f"{seed} next draw"] = str(np.random.rand())
    return shown
