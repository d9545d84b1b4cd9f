"""Settings that fit the labels: number of classes, ignored id, counting from one, class weights."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from dataset_doctor.reading import Report, sort_ids

# An id in fewer of the labels is a fault of those files, not a setting.
COMMON = 0.1


@dataclass
class Advice:
    """Suggested settings, each reason one sentence; ``class_weight`` has a number a class."""

    num_classes: int
    ignore_index: int
    reduce_zero_label: bool
    class_weight: list[float] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def differs(self, rules: Mapping) -> bool:
        """Whether the config says something else."""
        return (
            self.num_classes != (rules["num_classes"] or self.num_classes)
            or self.ignore_index != rules["ignore_index"]
            or self.reduce_zero_label != bool(rules["reduce_zero_label"])
        )


def advise(reports: Sequence[Report], rules: Mapping) -> Advice:
    """What the ids in the label files of training speak for, given the config's ``rules``."""
    advice = Advice(
        rules["num_classes"] or 0, rules["ignore_index"], bool(rules["reduce_zero_label"])
    )
    labelled = [report for report in reports if report.raw]
    files = Counter(number for report in labelled for number in report.raw)
    ids = {int(n) for n, count in files.items() if n == int(n) and count >= COMMON * len(labelled)}
    if ids and not rules["label_map"]:  # with a label map the ids are those of another list
        _set_numbers(advice, ids, rules["num_classes"])
    suggested = rules | {
        "num_classes": advice.num_classes,
        "ignore_index": advice.ignore_index,
        "reduce_zero_label": advice.reduce_zero_label,
    }
    if labelled and advice.num_classes:
        per_picture = np.zeros((len(labelled), advice.num_classes), np.int64)
        totals = np.zeros(len(labelled), np.int64)
        as_it_is = not advice.differs(rules)
        for row, report in enumerate(labelled):
            counts = report.counts if as_it_is else sort_ids(report.raw, suggested)[0]
            per_picture[row, list(counts)] = list(counts.values())
            totals[row] = sum(report.raw.values())
        advice.class_weight = median_frequency_weights(per_picture, totals)
    return advice


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
    """One weight a class from pixels (N, C) by picture and class, and all pixels (N,) by picture.

    The frequency of a class is its share of the pixels of those pictures that show it; its weight,
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
    if is_wrapped:
        return "\n".join([*lines, f"# In every data set: {data}"])
    for split in ("train", "val", "test"):
        if cfg.get(f"{split}_dataloader"):
            lines.append(f"{split}_dataloader = dict(dataset=dict({data}))")
    return "\n".join(lines)


def _is_one(cfg: Mapping, head: str) -> bool:
    head = (cfg.get("model") or {}).get(head)
    return isinstance(head, Mapping) and isinstance(head.get("loss_decode", {}), Mapping)
