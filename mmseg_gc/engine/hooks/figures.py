"""The figures of a validation, by which a hook keeps the best weights or stops."""

import re
from itertools import product

from mmengine.evaluator import Evaluator
from mmengine.runner import Runner

from mmseg_gc.errors import UserError
from mmseg_gc.evaluation import IoUMetric
from mmseg_gc.evaluation.confusion import FIGURES

# Of a figure whose name holds one of these, more is better; beside those that mmengine knows.
GREATER_KEYS = ("IoU", "Dice", "Acc", "Fscore", "Precision", "Recall", "Score", "AP")

# As our metrics and pycocotools name them, with a metric's prefix or without.
_NAMES = "|".join(dict.fromkeys(name for kind in FIGURES.values() for name in kind))
GREATER = re.compile(rf"(.*/)?(aAcc|m({_NAMES})|({_NAMES})\..*|(\w+_)?mAP(_\w+)?)")


def require_sense(figure: str, rule: str, config_key: str) -> None:
    """Refuse a ``rule`` that takes the worst of a well-known ``figure`` for the best."""
    if rule == "less" and GREATER.fullmatch(figure):
        raise UserError(
            f"config key {config_key} is {figure!r} and the rule beside it 'less', which takes the "
            "worst weights for the best: leave the rule out."
        )


def unknown_rule(config_key: str, figure: str) -> UserError:
    """What to say of a ``figure`` of which nobody knows whether more is better."""
    return UserError(
        f"config key {config_key} is {figure!r}, which may be better when greater or when less: "
        "set `rule` beside it to 'greater' or 'less'."
    )


def require_figure(runner: Runner, figure: str, config_key: str) -> None:
    """Refuse a ``figure`` that the validation to come won't compute.

    Nothing is refused where a metric of another kind than `IoUMetric` is among the evaluators.
    """
    metrics = getattr(getattr(runner.val_loop, "evaluator", None), "metrics", ())
    if not metrics or any(type(metric) is not IoUMetric for metric in metrics):
        return
    known: dict[str, None] = {}
    of_classes: set[str] = set()
    for metric in metrics:
        names = [name for kind in metric.metrics for name in FIGURES[kind]]
        prefix = f"{metric.prefix}/" if metric.prefix else ""
        means = ("aAcc", *(f"m{name}" for name in names))
        known |= dict.fromkeys(f"{prefix}{name}" for name in means)
        classes = (metric.dataset_meta or {}).get("classes") or ()
        of_classes |= {f"{prefix}{name}.{label}" for name, label in product(names, classes)}
    if getattr(runner.val_loop, "with_loss", False):
        known["val_loss"] = None
    if figure == "val_loss" and "val_loss" not in known:
        raise UserError(f"config key {config_key} is 'val_loss': set val_cfg.loss=True as well.")
    if figure.rpartition("/")[2].startswith("IoU.") and of_classes and figure not in of_classes:
        raise UserError(
            f"config key {config_key} is {figure!r}, but the classes are "
            f"{', '.join(sorted(name.partition('.')[2] for name in of_classes if 'IoU.' in name))}."
        )
    if figure not in (*known, *of_classes, "auto"):
        raise UserError(
            f"config key {config_key} is {figure!r}, but the validation computes "
            f"{', '.join(known)}: choose one of these, or name {' or '.join(FIGURES)} in "
            "val_evaluator.iou_metrics."
        )


def class_scalars(evaluator: Evaluator) -> dict[str, float]:
    """``IoU.<class>`` and its like, in percent, of each class that occurred in a validation."""
    scalars = {}
    for metric in getattr(evaluator, "metrics", ()):
        if isinstance(metric, IoUMetric):
            prefix = f"{metric.prefix}/" if metric.prefix else ""
            for figure, values in metric.class_values.items():
                for name, value in zip(metric.dataset_meta["classes"], values, strict=True):
                    if value == value:  # NaN: the class is in no label and no prediction
                        scalars[f"{prefix}{figure}.{name}"] = round(value, 2)
    return scalars
