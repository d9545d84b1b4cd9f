"""Settings that fit the labels: number of classes, ignored id, counting from one, class weights."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mmseg_gc.cli.dataset_doctor.reading import Report, sort_ids

# An id in fewer of the labels is a fault of those files, not a setting.
COMMON = 0.1
# What two levels hold of the pixels of a mask whose edges alone were smoothed.
MOSTLY = 0.8
SMOOTH = 4  # levels between the two, from which on they are no ids
THRESHOLD = {number: int(number > 127) for number in range(256)}


@dataclass
class Advice:
    """Suggested settings, each reason one sentence; ``class_weight`` has a number a class."""

    num_classes: int
    ignore_index: int
    reduce_zero_label: bool
    label_map: dict[int, int] | None = None  # id in the file to id; None: as it is
    class_weight: list[float] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def differs(self, rules: Mapping) -> bool:
        """Whether the config says something else."""
        return (
            self.num_classes != (rules["num_classes"] or self.num_classes)
            or self.ignore_index != rules["ignore_index"]
            or self.reduce_zero_label != bool(rules["reduce_zero_label"])
            or self.label_map is not None
        )


def advise(reports: Sequence[Report], rules: Mapping) -> Advice:
    """What the ids in the label files of training speak for, given the config's ``rules``."""
    advice = Advice(
        rules["num_classes"] or 0,
        rules["ignore_index"],
        bool(rules["reduce_zero_label"]),
    )
    labelled = [report for report in reports if report.raw]
    files = Counter(number for report in labelled for number in report.raw)
    ids = {int(n) for n, count in files.items() if n == int(n) and count >= COMMON * len(labelled)}
    mapped = rules["label_map"] or rules.get("file_label_map") is not None
    if ids and not mapped:  # with a label map the ids are those of another list
        pixels: Counter = Counter()
        for report in labelled:
            pixels.update(report.raw)
        _set_label_map(advice, ids, pixels, rules["num_classes"])
        if advice.label_map is None:
            _set_numbers(advice, ids, rules["num_classes"])
    suggested = dict(rules) | {
        "num_classes": advice.num_classes,
        "ignore_index": advice.ignore_index,
        "reduce_zero_label": advice.reduce_zero_label,
        "file_label_map": advice.label_map or rules.get("file_label_map"),
    }
    if labelled and advice.num_classes:
        per_image = np.zeros((len(labelled), advice.num_classes), np.int64)
        totals = np.zeros(len(labelled), np.int64)
        as_it_is = not advice.differs(rules)
        for row, report in enumerate(labelled):
            counts = report.counts if as_it_is else sort_ids(report.raw, suggested)[0]
            per_image[row, list(counts)] = list(counts.values())
            totals[row] = sum(report.raw.values())
        advice.class_weight = median_frequency_weights(per_image, totals)
    return advice


def _set_label_map(advice: Advice, ids: set[int], pixels: Counter, num_classes: int | None) -> None:
    """Advise a map where the files hold grey levels, such as 0 and 255, in place of ids."""
    if num_classes is None or max(ids) <= num_classes:
        return
    between = [number for number in pixels if min(ids) < number < max(ids) and number > 1]
    ends = pixels[min(ids)] + pixels[max(ids)]
    is_smooth = len(between) >= SMOOTH or between and 1 not in ids
    if num_classes == 2 and is_smooth and ends > MOSTLY * pixels.total():
        _set_binary(advice, between, pixels)
        return
    # Among ids, 255 is one that is ignored, unless there is but one other.
    classes = [number for number in range(num_classes) if number not in ids]
    levels = sorted(number for number in ids if number >= num_classes)
    is_binary = num_classes == len(pixels) == 2
    if len(levels) == len(classes) and (is_binary or min(levels) < 255):
        shown = ", ".join(map(str, sorted(ids)))
        advice.label_map = dict(zip(levels, classes, strict=True))
        advice.reduce_zero_label = False
        advice.reasons.append(
            f"The labels hold {shown} for {num_classes} classes: label_map={advice.label_map} "
            "reads these grey levels as ids."
        )


def _set_binary(advice: Advice, between: list[int], pixels: Counter) -> None:
    """Advise how to read a mask that has grey levels ``between`` the two of its classes."""
    low, high = min(pixels), max(pixels)
    share = sum(pixels[number] for number in between) / pixels.total()
    advice.reduce_zero_label = False
    if len(between) == 1:
        advice.label_map = {between[0]: advice.ignore_index, high: 1} | ({low: 0} if low else {})
        advice.reasons.append(
            f"The labels hold {low}, {between[0]} and {high} for 2 classes: perhaps {between[0]} "
            f"({share:.2%} of the pixels) is void, which label_map={advice.label_map} ignores."
        )
        return
    advice.label_map = dict(THRESHOLD)
    advice.reasons.append(
        f"The labels hold {len(pixels)} grey levels for 2 classes, {share:.2%} of the pixels "
        f"between {low} and {high}, as masks do that were resized smoothly or saved as JPEG: make "
        "them again by nearest and as PNG, or take 128 to 255 for class 1 by the "
        "label_map below."
    )


def _set_numbers(advice: Advice, ids: set[int], num_classes: int | None) -> None:
    plain = ids - {255}
    if not plain:
        return
    highest = max(plain)
    if 255 in ids and advice.ignore_index != 255:
        advice.ignore_index = 255
        advice.reasons.append("255 occurs in the labels, which is the usual id of ignored pixels.")
    if num_classes is None:
        advice.num_classes = highest + (not advice.reduce_zero_label)
        advice.reasons.append(f"The highest id is {highest}, and the config names no classes.")
        return
    inside = plain - {advice.ignore_index}
    if advice.reduce_zero_label:
        if max(inside, default=0) > num_classes:
            advice.num_classes = max(inside)
            advice.reasons.append(f"Ids go up to {max(inside)}, counted from 1.")
        elif 0 in ids and highest == num_classes - 1:
            advice.reduce_zero_label = False
            advice.reasons.append(
                f"Ids go from 0 to {highest}, as {num_classes} classes counted from 0 do; with "
                "reduce_zero_label=True, id 0 is ignored and the last class never occurs."
            )
    elif max(inside, default=0) == num_classes:
        if 0 in ids:
            advice.ignore_index = num_classes
            advice.reasons.append(
                f"Id {num_classes} is one above the {num_classes} classes: perhaps it is void "
                f"(ignore_index={num_classes}); if 0 is void, set reduce_zero_label=True instead."
            )
        else:
            advice.reduce_zero_label = True
            advice.reasons.append(f"Ids count from 1 to {num_classes}, and 0 never occurs.")
    elif max(inside, default=0) > num_classes:
        advice.num_classes = max(inside) + 1
        advice.reasons.append(f"Ids go up to {max(inside)}.")


def median_frequency_weights(counts: np.ndarray, totals: np.ndarray) -> list[float]:
    """One weight a class from pixels (N, C) by image and class, and all pixels (N,) by image.

    The frequency of a class is its share of the pixels of those images that show it; its weight,
    the median of the frequencies over its own. A class never seen has 1.

    Source: Eigen and Fergus, arXiv:1411.4734, section 6.3.2.
    """
    shown = (counts > 0).T @ totals
    frequency = np.divide(counts.sum(0), shown, out=np.zeros(len(shown)), where=shown > 0)
    present = frequency > 0
    weights = np.ones(len(shown))
    if present.any():
        weights[present] = np.median(frequency[present]) / frequency[present]
    return [round(float(weight), 4) for weight in weights]


def as_config(advice: Advice, cfg: Mapping, num_classes: int | None, is_wrapped: bool) -> str:
    """The advice as lines for the end of a config file; ``num_classes`` is what the data set has.

    The data sets inside of a wrapper can't be reached by one key, so a comment stands for theirs.
    """
    lines = []
    if num_classes != advice.num_classes:
        lines.append(f"# metainfo.classes has to name {advice.num_classes} classes.")
    lines.append(f"class_weight = [{', '.join(map(str, advice.class_weight))}]")
    heads = [name for name in ("decode_head", "auxiliary_head") if _is_one(cfg, name)]
    settings = f"num_classes={advice.num_classes}, ignore_index={advice.ignore_index}"
    weights = "loss_decode=dict(class_weight=class_weight)"
    if heads:
        heads = [f"    {name}=dict({settings}, {weights})," for name in heads]
        lines += ["model = dict(", *heads, ")"]
    data = f"ignore_index={advice.ignore_index}, reduce_zero_label={advice.reduce_zero_label}"
    if advice.label_map is not None:
        data += f", label_map={_as_code(advice.label_map)}"
    if is_wrapped:
        return "\n".join([*lines, f"# In every data set: {data}"])
    for split in ("train", "val", "test"):
        if cfg.get(f"{split}_dataloader"):
            lines.append(f"{split}_dataloader = dict(dataset=dict({data}))")
    return "\n".join(lines)


def _as_code(label_map: Mapping[int, int]) -> str:
    is_long = label_map == THRESHOLD
    return "{i: int(i > 127) for i in range(256)}" if is_long else repr(dict(label_map))


def _is_one(cfg: Mapping, head: str) -> bool:
    found = (cfg.get("model") or {}).get(head)
    return isinstance(found, Mapping) and isinstance(found.get("loss_decode", {}), Mapping)
