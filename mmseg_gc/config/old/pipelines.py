"""Pipelines of 0.x: what they do to pixels, and what the data preprocessor does in their place."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mmseg_gc.config.names import type_name
from mmseg_gc.config.old.keys import Node, backend_args, is_scale, refuse_rest
from mmseg_gc.errors import UserError

# Packing: `PackSegInputs` does it all.
FORMATTING = {
    *("Collect", "DefaultFormatBundle", "ImageToTensor", "ToDataContainer", "ToTensor"),
    "Transpose",
}
# May stand behind `Normalize`: they move pixels and bring in none.
HARMLESS = {"LoadAnnotations", "RandomCrop", "RandomFlip", "Resize"}
RESIZE_CURE = "take it out, or write the RandomResize or Resize of 1.x"


@dataclass
class Preprocessing:
    """What a pipeline of 0.x says of normalising and padding, which in 1.x the model does."""

    normalize: Node | None = None
    padding: Node = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    crop_size: Any = None


def convert_train_pipeline(steps: Sequence[Node]) -> tuple[list[Node], Preprocessing]:
    """The steps of a training's pipeline in 1.x, and the part of them that the model does."""
    found = Preprocessing()
    converted = [step for old in steps for step in _convert(dict(old), found)]
    return [*converted, dict(type="PackSegInputs")], found


def convert_test_pipeline(
    steps: Sequence[Node], labels: Node
) -> tuple[list[Node], list[Node] | None, Preprocessing]:
    """The steps of a test, those of a test of several views if it has them, and the model's part.

    ``labels`` is the training's ``LoadAnnotations``. 0.x reads labels beside the pipeline and
    scores at their own size, so that here they are loaded behind every resize.
    """
    found = Preprocessing()
    first: list[Node] = []
    views: list[list[Node]] = []
    several = False
    for old in steps:
        if type_name(old) != "MultiScaleFlipAug":
            first += _convert(dict(old), found)
            continue
        views, several = _views(dict(old), found)
    first = [step for step in first if type_name(step) not in ("LoadAnnotations", "RandomFlip")]
    if not views:  # a pipeline without `MultiScaleFlipAug`
        return [*first, dict(labels), dict(type="PackSegInputs")], None, found
    plain = [*first, *views[0], dict(labels), dict(type="PackSegInputs")]
    if not several:
        return plain, None, found
    return plain, first, found


def tta_pipeline(steps: Sequence[Node], labels: Node) -> list[Node] | None:
    """The ``tta_pipeline`` for a test pipeline of 0.x with the scales and flips that it names.

    Where it names one view, it is that of ``--aug-test`` in 0.x: six scales, mirrored as well.
    """
    kinds = [type_name(step) for step in steps]
    if "MultiScaleFlipAug" not in kinds:
        return None
    place = kinds.index("MultiScaleFlipAug")
    old = dict(steps[place])
    ratios = old.get("img_ratios")
    several = old.get("flip") or isinstance(ratios, list | tuple) or not _one_scale(old)
    if not several:
        ratios = [0.5, 0.75, 1.0, 1.25, 1.5, 1.75]
    keep = next((dict(s) for s in old.get("transforms", ()) if type_name(s) == "Resize"), {})
    keep_ratio = keep.get("keep_ratio", True)
    resizes = [
        _resize_of_view(scale, keep_ratio) for scale in _scales({**old, "img_ratios": ratios})
    ]
    directions = old.get("flip_direction", "horizontal")
    directions = [directions] if isinstance(directions, str) else list(directions)
    flips = [dict(type="RandomFlip", prob=0.0, direction=directions[0])]
    if old.get("flip") or not several:
        flips += [dict(type="RandomFlip", prob=1.0, direction=d) for d in directions]
    found = Preprocessing()
    before = [s for o in steps[:place] for s in _convert(dict(o), found)]
    before = [step for step in before if type_name(step) != "LoadAnnotations"]
    last = [[dict(labels)], [dict(type="PackSegInputs")]]
    return [*before, dict(type="TestTimeAug", transforms=[resizes, flips, *last])]


def _views(node: Node, found: Preprocessing) -> tuple[list[list[Node]], bool]:
    """The steps inside of a ``MultiScaleFlipAug`` for the plain view, and whether it has more."""
    inner = [dict(step) for step in node.get("transforms", ())]
    resize = next((step for step in inner if type_name(step) == "Resize"), None)
    others = [step for step in inner if type_name(step) not in ("Resize", "RandomFlip")]
    steps = [step for old in others for step in _convert(old, found)]
    scales = _scales(node)
    plain = _plain_scale(node, scales)
    if resize is not None and plain is not None:
        steps.insert(0, _resize_of_view(plain, resize.get("keep_ratio", True)))
    return [steps], len(scales) > 1 or bool(node.get("flip"))


def _one_scale(node: Node) -> bool:
    scale = node.get("img_scale")
    return scale is None or is_scale(scale) or len(scale) == 1


def _scales(node: Node) -> list[Any]:
    """The sizes (w, h) of the views; a number is a factor of the image's own size."""
    scale, ratios = node.get("img_scale"), node.get("img_ratios")
    ratios = [ratios] if isinstance(ratios, int | float) else list(ratios or [1.0])
    if scale is None:
        return ratios
    scales = [scale] if is_scale(scale) else list(scale)
    return [tuple(int(side * ratio) for side in one) for one in scales for ratio in ratios]


def _plain_scale(node: Node, scales: list[Any]) -> Any:
    if node.get("img_scale") is None:
        return None if 1.0 in scales else scales[0]
    scale = node["img_scale"]
    plain = tuple(scale if is_scale(scale) else scale[0])
    return plain if plain in scales else scales[0]


def _resize_of_view(scale: Any, keep_ratio: bool) -> Node:
    if isinstance(scale, int | float):
        return dict(type="Resize", scale_factor=scale, keep_ratio=keep_ratio)
    return dict(type="Resize", scale=scale, keep_ratio=keep_ratio)


def _convert(step: Node, found: Preprocessing) -> list[Node]:
    """What ``step`` is in 1.x: nothing, if the model does it or ``PackSegInputs``."""
    kind = type_name(step)
    if kind in FORMATTING:
        if kind == "Collect" and step.get("meta_keys"):
            found.notes.append("Collect.meta_keys is PackSegInputs' own list")
        return []
    if kind == "Normalize":
        found.normalize = step
        return []
    if kind == "Pad":
        return _pad(step, found)
    if found.normalize is not None and kind not in HARMLESS:
        found.notes.append(
            f"{kind} stands behind Normalize, but 1.x normalises behind the whole pipeline: check "
            "that it takes images of 0 to 255"
        )
    if kind == "Resize":
        return [_resize(step)]
    if kind == "RandomFlip":
        return _flip(step)
    if kind == "RandomCrop":
        found.crop_size = step.get("crop_size")
    return [backend_args(step)]


def _resize(step: Node) -> Node:
    step.pop("type")
    scale, ratios = step.pop("img_scale", None), step.pop("ratio_range", None)
    mode, keep_ratio = step.pop("multiscale_mode", "range"), step.pop("keep_ratio", True)
    refuse_rest(step, "Resize", RESIZE_CURE)
    if scale is None:
        raise UserError(
            "a Resize of mmsegmentation 0.x has no img_scale, so that every image would be scaled "
            "by its own size; set img_scale=(width, height)."
        )
    if not is_scale(scale) and len(scale) == 1:
        scale = scale[0]
    if ratios is not None:
        return dict(type="RandomResize", scale=scale, ratio_range=ratios, keep_ratio=keep_ratio)
    if is_scale(scale):
        return dict(type="Resize", scale=scale, keep_ratio=keep_ratio)
    scales = [tuple(one) for one in scale]
    if mode == "value":
        return dict(type="RandomChoiceResize", scales=scales, keep_ratio=keep_ratio)
    return dict(type="RandomResize", scale=scales, keep_ratio=keep_ratio)


def _flip(step: Node) -> list[Node]:
    if "flip_ratio" in step:
        step["prob"] = step.pop("flip_ratio")
    return [step] if step.get("prob") is not None else []


def _pad(step: Node, found: Preprocessing) -> list[Node]:
    step.pop("type")
    size, divisor = step.pop("size", None), step.pop("size_divisor", None)
    image, label = step.pop("pad_val", 0), step.pop("seg_pad_val", 255)
    refuse_rest(step, "Pad", "take it out")
    if found.normalize is not None:  # the model pads as well as it normalises
        found.padding = dict(pad_val=image, seg_pad_val=label)
        found.padding |= dict(size=tuple(size)) if size else dict(size_divisor=divisor)
        return []
    pad = dict(type="Pad", pad_val=dict(img=image, seg=label))
    # 0.x says (h, w), mmcv (w, h).
    return [pad | (dict(size=tuple(size)[::-1]) if size else dict(size_divisor=divisor))]
